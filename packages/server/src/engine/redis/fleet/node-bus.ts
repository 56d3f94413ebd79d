/**
 * Questions from node to node, over Redis' pub/sub: a letter to one node or to all, answers that come back each for
 * itself. A letter may be lost and a node may be dead: whoever asks gets what has come within its time, and never
 * an error. Redis says how many listen, so that nobody waits for those that do not.
 */

/** What may be asked: per subject the question and its answer, both as JSON carries them. */
export type Subjects = Record<string, { readonly question: unknown; readonly answer: unknown }>;

type Letter =
  | {
      readonly kind: 'question';
      readonly from: string;
      readonly number: number;
      readonly about: string;
      readonly body: unknown;
    }
  /** Without a body: it cannot be answered. */
  | { readonly kind: 'answer'; readonly from: string; readonly number: number; readonly body?: unknown }
  /** Somebody has joined or left. */
  | { readonly kind: 'change'; readonly from: string }
  /** There are new notes to be read. */
  | { readonly kind: 'note'; readonly from: string };

export interface NodeBusOptions<S extends Subjects> {
  readonly nodeId: string;
  /** Resolves with the number of listeners; `undefined`: to all nodes. */
  readonly tell: (nodeId: string | undefined, letter: string) => Promise<number>;
  readonly answer: <K extends keyof S & string>(about: K, body: S[K]['question']) => S[K]['answer'];
  readonly aliveNodes: () => ReadonlySet<string>;
  readonly onChange: () => void;
  readonly onNote?: () => void;
}

interface Pending {
  readonly answers: Map<string, unknown>;
  /** Nodes that have said that they cannot answer. */
  failures: number;
  /** Answers that may come; unknown until Redis has said how many listen. */
  expected: number;
  readonly isToAll: boolean;
  readonly settle: () => void;
}

/** Letters begin with it, so that they are told from publications. */
const MARK = '@';
const KINDS: ReadonlySet<unknown> = new Set<Letter['kind']>(['question', 'answer', 'change', 'note']);

export class NodeBus<S extends Subjects> {
  readonly #options: NodeBusOptions<S>;
  readonly #pending = new Map<number, Pending>();
  #number = 0;

  constructor(options: NodeBusOptions<S>) {
    this.#options = options;
  }

  /** Answers by node, without one of this node's own. */
  askAll<K extends keyof S & string>(
    about: K,
    body: S[K]['question'],
    timeoutMs: number,
  ): Promise<ReadonlyMap<string, S[K]['answer']>> {
    return this.#ask(undefined, about, body, timeoutMs);
  }

  async ask<K extends keyof S & string>(
    nodeId: string,
    about: K,
    body: S[K]['question'],
    timeoutMs: number,
  ): Promise<S[K]['answer'] | undefined> {
    return (await this.#ask(nodeId, about, body, timeoutMs)).get(nodeId);
  }

  /** Has all nodes look who is there. */
  async announceChange(): Promise<void> {
    await this.#tell(undefined, { kind: 'change', from: this.#options.nodeId });
  }

  /** Has all nodes read the notes. */
  async announceNote(): Promise<void> {
    await this.#tell(undefined, { kind: 'note', from: this.#options.nodeId });
  }

  receive(bytes: Buffer): void {
    const letter = readLetter(bytes);
    if (letter === undefined || letter.from === this.#options.nodeId) return;
    if (letter.kind === 'change') this.#options.onChange();
    else if (letter.kind === 'note') this.#options.onNote?.();
    else if (letter.kind === 'answer') this.#take(letter);
    else this.#reply(letter);
  }

  /** Nobody waits any longer. */
  close(): void {
    for (const { settle } of this.#pending.values()) settle();
  }

  #ask<K extends keyof S & string>(
    to: string | undefined,
    about: K,
    body: S[K]['question'],
    timeoutMs: number,
  ): Promise<ReadonlyMap<string, S[K]['answer']>> {
    const number = ++this.#number;
    const { nodeId } = this.#options;
    return new Promise((resolve) => {
      const answers = new Map<string, S[K]['answer']>();
      const settle = (): void => {
        clearTimeout(timer);
        this.#pending.delete(number);
        resolve(answers);
      };
      const timer = setTimeout(settle, timeoutMs);
      const pending: Pending = {
        answers,
        failures: 0,
        expected: Number.POSITIVE_INFINITY,
        isToAll: to === undefined,
        settle,
      };
      this.#pending.set(number, pending);
      this.#tell(to, { kind: 'question', from: nodeId, number, about, body }).then(
        (listeners) => {
          // One of all is this node.
          pending.expected = pending.isToAll ? listeners - 1 : listeners;
          this.#settleWhenDone(pending);
        },
        // Redis is away: there is nobody to wait for.
        settle,
      );
    });
  }

  #take({ from, number, body }: Extract<Letter, { kind: 'answer' }>): void {
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    if (body === undefined) pending.failures++;
    else pending.answers.set(from, body);
    this.#settleWhenDone(pending);
  }

  #settleWhenDone({ answers, failures, expected, isToAll, settle }: Pending): void {
    if (answers.size + failures >= expected || (isToAll && this.#haveAllAnswered(answers))) settle();
  }

  /** Somebody else may listen too, who never answers. */
  #haveAllAnswered(answers: ReadonlyMap<string, unknown>): boolean {
    for (const id of this.#options.aliveNodes()) {
      if (id !== this.#options.nodeId && !answers.has(id)) return false;
    }
    return answers.size > 0;
  }

  #reply({ from, number, about, body }: Extract<Letter, { kind: 'question' }>): void {
    const { nodeId, answer } = this.#options;
    let found: unknown;
    try {
      found = answer(about, body as never);
    } catch {
      // A node of another version may ask what this one does not know. It learns that there is no answer.
      found = undefined;
    }
    // Without an answer its time runs out.
    this.#tell(from, { kind: 'answer', from: nodeId, number, body: found }).catch(() => undefined);
  }

  #tell(to: string | undefined, letter: Letter): Promise<number> {
    return this.#options.tell(to, MARK + JSON.stringify(letter));
  }
}

function readLetter(bytes: Buffer): Letter | undefined {
  try {
    const letter = JSON.parse(bytes.toString('utf8', MARK.length)) as Partial<Letter>;
    return typeof letter.from === 'string' && KINDS.has(letter.kind) ? (letter as Letter) : undefined;
  } catch {
    // Not ours: whoever may publish in Redis may say anything.
    return undefined;
  }
}
