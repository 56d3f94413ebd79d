export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, by which a server is known here and in the log. */
export function labelOf({ host, port }: ServerAddress): string {
  return `${host}:${port}`;
}
