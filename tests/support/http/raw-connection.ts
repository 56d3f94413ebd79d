/** Writes to one TCP connection piece by piece and reads every answer on it. */
import { connect } from 'node:net';
import { within } from '../wait.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Conversation {
  /** Pieces to write, each after the previous one was flushed. */
  readonly pieces: readonly (string | Uint8Array)[];
  /** The number of answers after which the connection is closed. */
  readonly answers: number;
  /** Closes the sending side after the last piece and keeps reading. */
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
    // A service that has answered may reset the connection before it has read the rest.
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

/** Parses complete answers. The head of a stream and 100 Continue count as answers. */
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
