/** Backups: an engine with a store of its own can copy that store while it serves. */

export interface Backup {
  /** Path of the finished copy, on the machine that the engine runs on. */
  readonly path: string;
  readonly bytes: number;
  readonly seconds: number;
}

export interface BackupMaker {
  /**
   * Resolves when the copy is on disk. It holds everything that was acknowledged before the call. Rejects with a
   * `RequestError`: `backup_under_way`, `storage_full` or `engine_unavailable`.
   */
  makeBackup(): Promise<Backup>;
}
