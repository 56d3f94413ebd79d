/** How a server is reached. */
export interface AccessSettings {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly database: number;
  /** Absent without TLS. Paths of PEM files. */
  readonly tls?:
    | { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly verify: boolean }
    | undefined;
  readonly connectTimeoutMs: number;
  /** A call that is not answered within this time fails its connection. */
  readonly socketTimeoutMs: number;
  /** Name of the connections in `CLIENT LIST`. */
  readonly clientName: string;
}
