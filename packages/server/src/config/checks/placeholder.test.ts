import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { isPlaceholder } from './placeholder.ts';

test.each([
  'your_secure_password',
  'your_secure_api_key_here',
  'your_jwt_secret_here',
  'your_ticket_secret_here',
  'your-256-bit-secret',
  'your-super-secret-jwt-token',
  'YOUR_SECRET_KEY',
  'change-me',
  'changeme',
  'please_change_this_in_production',
  'secret',
  'Secret',
  'super-secret-key',
  'my_secret_key',
  'password',
  'passw0rd',
  'admin',
  'test',
  '123456',
  'xxxxxxxxxxxxxxxxxxxx',
  '********',
  '0000000000000000000000000000000000000000',
  '<your key>',
  '$'.concat('{API_KEY}'),
  '{{ api_key }}',
  'REPLACE_ME',
  'placeholder-value',
  'todo',
  'insert key here',
])('%s is an example', (text) => {
  expect(isPlaceholder(text)).toBe(true);
});

test.each([
  'k3x9q2-kb-service-7Qm4Zt',
  'correct horse battery staple',
  '5f4dcc3b5aa765d61d8327deb882cf99',
  'production-kb-service-key-8812',
])('%s is none', (text) => {
  expect(isPlaceholder(text)).toBe(false);
});

test('what is random is no example', () => {
  for (let i = 0; i < 1000; i++) {
    const text = randomBytes(32).toString('base64');
    expect(isPlaceholder(text), text).toBe(false);
  }
});
