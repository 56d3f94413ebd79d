/** The paths that callers need, by name: what `/` answers and what a gateway is told. */

export const ENDPOINTS = {
  user_stream: '/sse/user/{user_id}',
  stream: '/sse/stream',
  service_stream: '/sse/service/{service_name}',
  task_stream: '/sse/task/{task_id}',
  send: '/sse/api/v1/messages/send',
  broadcast: '/sse/api/v1/messages/broadcast',
  batch: '/sse/api/v1/messages/batch',
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
