/** What an engine with a store of its own can do beside serving: copy that store while it goes on. */

export interface Backup {
  /** Of the finished copy, on the machine that the engine runs on. */
  readonly path: string;
  readonly bytes: number;
  readonly seconds: number;
}

export interface BackupMaker {
  /**
   * Resolves when the copy is on disk: it holds everything that was acknowledged before the call. Rejects with a
   * `RequestError`: `backup_under_way`, `storage_full`, `engine_unavailable`.
   */
  makeBackup(): Promise<Backup>;
}
