import { expect, test } from 'vitest';
import { derivedUrl, registrationJson } from './registration.ts';

const plain = { scheme: 'http', port: 8089, hostname: 'node-1' } as const;

test.each([
  ['10.0.0.5', 'http://10.0.0.5:8089'],
  ['push.internal', 'http://push.internal:8089'],
  ['0.0.0.0', 'http://node-1:8089'],
  ['::', 'http://node-1:8089'],
  ['fd00::5', 'http://[fd00::5]:8089'],
])('a service that listens on %s is found at %s', (host, url) => {
  expect(derivedUrl({ ...plain, host })).toBe(url);
});

test('the registration says what a gateway routes by', () => {
  const json = registrationJson({
    name: 'push',
    version: '1.2.3',
    port: 8089,
    url: 'https://push.example.com',
  });
  expect(JSON.parse(json)).toMatchObject({
    service_name: 'push',
    port: 8089,
    url: 'https://push.example.com',
    health_url: 'https://push.example.com/sse/health',
    type: 'message-push',
    version: '1.2.3',
    endpoints: { send: '/sse/api/v1/messages/send', user_stream: '/sse/user/{user_id}' },
  });
});
