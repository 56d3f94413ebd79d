/** The two ways in which a call fails: refused by the server, or without an answer. */

/** The server refused a command. The connection is as good as before. */
export class ReplyError extends Error {
  /** First word of the error: `MOVED`, `READONLY`, `OOM` … */
  readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ReplyError';
    this.code = message.split(' ', 1)[0] ?? '';
  }
}

/** No answer came. What was asked for may have been done or not. */
export class ConnectionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConnectionError';
  }
}
