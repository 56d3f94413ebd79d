/** Copies the store while the service runs. `npm run restore` puts a copy back while it is stopped. */
import type { Static } from 'typebox';
import { demandManage } from '../../../access/decisions.ts';
import { RequestError } from '../../../core/errors.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import { backupSchema } from '../docs/answer-schemas.ts';
import { errorAnswers } from '../docs/error-answers.ts';

export function registerBackupRoutes(api: Api, { backups, now }: ApiOptions): void {
  api.post(
    '/sse/api/v1/backups',
    {
      schema: {
        tags: ['Maintenance'],
        operationId: 'createBackup',
        summary: 'Copy the store',
        description:
          'Answers when the copy is on disk, under `DATA_DIR/backups`. It holds every message that was acknowledged before the request. Publishing and streams go on meanwhile. Embedded engine only; needs the scope `manage` for all channels.',
        response: { 200: backupSchema, ...errorAnswers(409, 503) },
      },
    },
    async ({ principal, log }): Promise<Static<typeof backupSchema>> => {
      demandManage(principal);
      if (backups === undefined) {
        throw new RequestError(
          'no_embedded_store',
          'the messages are in Redis: back up its snapshots instead (docs/production/backup.md)',
        );
      }
      const timestamp = new Date(now()).toISOString();
      const { path, bytes, seconds } = await backups.makeBackup();
      log.info({ file: path, bytes, seconds }, 'a backup of the store was made');
      return { success: true, path, bytes, seconds, timestamp };
    },
  );
}
