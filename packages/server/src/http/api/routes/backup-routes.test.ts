import { expect, test } from 'vitest';
import { RequestError } from '../../../core/errors.ts';
import { createTestApi } from '../api-fixture.ts';

const URL = '/sse/api/v1/backups';

test('a backup is answered with where it is', async () => {
  const copy = { path: '/data/backups/now.db', bytes: 4096, seconds: 0.5 };
  const { api } = createTestApi({ backups: { makeBackup: async () => copy } });
  const answer = await api.inject({ method: 'POST', url: URL });
  expect(answer.statusCode).toBe(200);
  expect(answer.json()).toEqual({ success: true, ...copy, timestamp: '2026-01-02T03:04:05.678Z' });
});

test('what keeps a backup from being made is said as any error is', async () => {
  const underWay = new RequestError('backup_under_way', 'one at a time');
  const { api } = createTestApi({ backups: { makeBackup: () => Promise.reject(underWay) } });
  const answer = await api.inject({ method: 'POST', url: URL });
  expect(answer.statusCode).toBe(409);
  expect(answer.json()).toMatchObject({ error: true, code: 'backup_under_way' });
});

test('where the messages are in Redis, the answer says where their backup is', async () => {
  const { api } = createTestApi({ backups: undefined });
  const answer = await api.inject({ method: 'POST', url: URL });
  expect(answer.statusCode).toBe(409);
  expect(answer.json()).toMatchObject({
    code: 'no_embedded_store',
    message: expect.stringContaining('docs/production/backup.md'),
  });
});
