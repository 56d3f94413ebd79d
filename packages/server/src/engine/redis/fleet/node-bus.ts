/**
 * Questions from node to node over Redis' pub/sub: a letter to one node or to all, and a letter back from each. A
 * letter may be lost and a node may be dead, so whoever asks gets the answers that arrive in time, and never an
 * error. Redis tells how many nodes receive a letter, so that nobody waits for those that do not.
 */
import { LETTER_MARK } from '../names/keys.ts';

/** Everything that may be asked: a question and its answer for each subject, both as values of JSON. */
export type Subjects = Record<string, { readonly question: unknown; readonly answer: unknown }>;

type Letter =
  | {
      readonly kind: 'question';
      readonly from: string;
      readonly number: number;
      readonly about: string;
      readonly body: unknown;
    }
  /** Has no body when the question could not be answered. */
  | { readonly kind: 'answer'; readonly from: string; readonly number: number; readonly body?: unknown }
  /** A node has joined or left. */
  | { readonly kind: 'change'; readonly from: string }
  /** There are new notes to read. */
  | { readonly kind: 'note'; readonly from: string };

export interface NodeBusOptions<S extends Subjects> {
  readonly nodeId: string;
  /** Sends to a node, or to all for `undefined`. Resolves with the number of nodes that receive it. */
  readonly send: (nodeId: string | undefined, letter: string) => Promise<number>;
  readonly answer: <K extends keyof S & string>(about: K, body: S[K]['question']) => S[K]['answer'];
  readonly aliveNodes: () => ReadonlySet<string>;
  readonly onChange: () => void;
  readonly onNote?: () => void;
}

interface Pending {
  readonly answers: Map<string, unknown>;
  /** Number of nodes that cannot answer. */
  failures: number;
  /** Number of answers that may come; unknown until Redis has told how many nodes receive the question. */
  expected: number;
  readonly isToAll: boolean;
  readonly settle: () => void;
}

const KINDS: ReadonlySet<unknown> = new Set<Letter['kind']>(['question', 'answer', 'change', 'note']);

export class NodeBus<S extends Subjects> {
  readonly #options: NodeBusOptions<S>;
  readonly #pending = new Map<number, Pending>();
  #number = 0;

  constructor(options: NodeBusOptions<S>) {
    this.#options = options;
  }

  /** Resolves with answers by node, without this one. */
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

  /** Makes all nodes look which nodes are alive. */
  async announceChange(): Promise<void> {
    await this.#send(undefined, { kind: 'change', from: this.#options.nodeId });
  }

  /** Makes all nodes read the notes. */
  async announceNote(): Promise<void> {
    await this.#send(undefined, { kind: 'note', from: this.#options.nodeId });
  }

  receive(bytes: Buffer): void {
    const letter = readLetter(bytes);
    if (letter === undefined || letter.from === this.#options.nodeId) return;
    if (letter.kind === 'change') this.#options.onChange();
    else if (letter.kind === 'note') this.#options.onNote?.();
    else if (letter.kind === 'answer') this.#take(letter);
    else this.#reply(letter);
  }

  /** Ends what waits for answers, with those that have come. */
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
      this.#send(to, { kind: 'question', from: nodeId, number, about, body }).then(
        (listeners) => {
          // This node is one of all.
          pending.expected = pending.isToAll ? listeners - 1 : listeners;
          this.#settleWhenDone(pending);
        },
        // Redis is unreachable: there is nobody to wait for.
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

  /** Something else may be subscribed as well, and never answer. */
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
      // A node of another version may ask what this one does not know; it gets an answer without a body.
      found = undefined;
    }
    // If the answer is lost, the other node's time runs out.
    this.#send(from, { kind: 'answer', from: nodeId, number, body: found }).catch(() => undefined);
  }

  #send(to: string | undefined, letter: Letter): Promise<number> {
    return this.#options.send(to, LETTER_MARK + JSON.stringify(letter));
  }
}

function readLetter(bytes: Buffer): Letter | undefined {
  try {
    const letter = JSON.parse(bytes.toString('utf8', LETTER_MARK.length)) as Partial<Letter>;
    return typeof letter.from === 'string' && KINDS.has(letter.kind) ? (letter as Letter) : undefined;
  } catch {
    // Not a letter: anybody who may publish in Redis can send anything.
    return undefined;
  }
}
