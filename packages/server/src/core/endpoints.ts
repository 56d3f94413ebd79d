/** The paths that callers need, by name: what `/` answers and what a gateway is told. */
import type { PublishKind } from './message.ts';

/** Where each kind of publish is sent. Whatever names such a path reads it here. */
export const PUBLISH_PATHS: Readonly<Record<PublishKind, string>> = {
  send: '/sse/api/v1/messages/send',
  broadcast: '/sse/api/v1/messages/broadcast',
  batch: '/sse/api/v1/messages/batch',
};

export const ENDPOINTS = {
  user_stream: '/sse/user/{user_id}',
  stream: '/sse/stream',
  service_stream: '/sse/service/{service_name}',
  task_stream: '/sse/task/{task_id}',
  ...PUBLISH_PATHS,
  connections: '/sse/api/v1/connections',
  stats: '/sse/api/v1/connections/stats',
  channels: '/sse/api/v1/channels',
  history: '/sse/api/v1/channels/{channel}/history',
  presence: '/sse/api/v1/channels/{channel}/presence',
  tickets: '/sse/api/v1/tickets',
  revocations: '/sse/api/v1/revocations',
  renewal: '/sse/api/v1/connections/{connection_id}/renew',
  health: '/sse/health',
};
