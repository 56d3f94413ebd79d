/** One TCP connection written piece by piece, and every answer that comes back on it. */
import { connect } from 'node:net';
import { within } from '../wait.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Conversation {
  /** Written one after the other, each only when the one before has left. */
  readonly pieces: readonly (string | Uint8Array)[];
  /** Answers after which the connection is left. */
  readonly answers: number;
  /** Closes our side after the last piece, and still reads. */
  readonly halfCloses?: boolean;
}

export interface Outcome {
  readonly answers: readonly RawAnswer[];
  /** The service ended the connection. */
  readonly hasEnded: boolean;
}

export function converse(
  port: number,
  { pieces, answers, halfCloses = false }: Conversation,
): Promise<Outcome> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  let received: Buffer = Buffer.alloc(0);
  const outcome = new Promise<Outcome>((resolve) => {
    const look = (hasEnded: boolean): void => {
      const parsed = parseAnswers(received);
      if (hasEnded || parsed.length >= answers) resolve({ answers: parsed, hasEnded });
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      look(false);
    });
    socket.on('end', () => look(true));
    // A service that has answered may refuse to hear the rest.
    socket.on('error', () => look(true));
  });
  const write = async (): Promise<void> => {
    for (const piece of pieces) {
      if (socket.destroyed) return;
      await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
    }
    if (halfCloses) socket.end();
  };
  void write();
  const shown = String(pieces[0]).slice(0, 120);
  return within(`an answer to ${JSON.stringify(shown)}`, 10_000, outcome).finally(() => socket.destroy());
}

/** Complete answers only; a stream's head counts as one. 100 Continue is one as well. */
function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let start = 0; ; ) {
    const end = bytes.indexOf('\r\n\r\n', start);
    if (end < 0) return answers;
    const [statusLine = '', ...lines] = bytes.toString('latin1', start, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const length = Number(headers.get('content-length') ?? 0);
    start = end + 4 + length;
    if (start > bytes.length) return answers;
    answers.push({ status, headers, body: bytes.toString('utf8', end + 4, start) });
  }
}
