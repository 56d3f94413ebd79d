/**
 * Generates texts from the schema: the reference of all variables and the example env files. `write-reference.ts`
 * writes them; a test keeps the committed files in step.
 */

import type { DefaultContext, Environment, Setting } from '../settings/kinds/setting.ts';
import { GROUPS, SETTINGS, type Variable } from '../settings/schema.ts';

const INTRODUCTION = `# Configuration

<!-- Generated from packages/server/src/config by \`npm run docs:reference\`. Edit the schema, not this file. -->

The service reads environment variables and an env file: \`config/development.env\` or \`config/production.env\`,
selected by \`ENVIRONMENT\`. To begin, copy the \`.example\` file beside it. The process environment overrides the
file, an empty value counts as unset, and the file may be absent.

The service refuses to start if a value is not allowed, or if the env file has a name that is not listed here. It
reports all such problems at once, each with the variable, its value and what is allowed.
\`npm start -- --check-config\` prints the effective configuration without starting the service: every value with its
source, and secrets masked.

Sizes are numbers of bytes, or numbers with KB, MB or GB (powers of 1024). Relative paths are relative to the folder in
which the service is installed.
`;

/** The text of `docs/reference/configuration.md`. */
export function referenceText(): string {
  const parts = [INTRODUCTION];
  for (const group of GROUPS) {
    parts.push(`## ${group.title}

| variable | type | default | allowed | meaning |
|---|---|---|---|---|
${variablesOf(group).map(referenceRow).join('\n')}
`);
  }
  return parts.join('\n');
}

function referenceRow(variable: Variable): string {
  const setting: Setting<unknown> = SETTINGS[variable];
  const type = setting.unit === undefined ? setting.type : `${setting.type}, ${setting.unit}`;
  return `| \`${variable}\` | ${type} | ${defaultCell(setting)} | ${setting.allowed} | ${sentences(variable).join(' ')} |`;
}

function defaultCell(setting: Setting<unknown>): string {
  if (setting.defaultText === '') return '(none)';
  return isLiteral(setting.defaultText) ? `\`${setting.defaultText}\`` : setting.defaultText;
}

/** Tells whether the default is one value, not a description of several. */
function isLiteral(defaultText: string): boolean {
  return !defaultText.includes(' ');
}

function sentences(variable: Variable): string[] {
  const setting: Setting<unknown> = SETTINGS[variable];
  return [setting.about, ...(setting.needs === undefined ? [] : [`Applies only with \`${setting.needs}\`.`])];
}

function variablesOf(group: (typeof GROUPS)[number]): Variable[] {
  return Object.keys(group.settings) as Variable[];
}

/** The variables that the examples set. Every other one appears there as a comment, with its default. */
const COMMON_EXAMPLE = {
  SERVICE_NAME: 'message-push-service',
  SERVICE_PORT: '8089',
  MESSAGE_QUEUE_TYPE: 'embedded',
  DATA_DIR: 'data',
  ENABLE_ASYNC_PROCESSING: 'true',
  WORKER_THREADS: '1',
  MAX_CONNECTIONS: '1000',
  CONNECTION_TIMEOUT: '300',
  HEARTBEAT_INTERVAL: '30',
  MESSAGE_QUEUE_SIZE: '10000',
  ENABLE_METRICS: 'true',
  METRICS_PORT: '9090',
  LOG_FILE: 'logs/message-push-service.log',
} as const satisfies Partial<Record<Variable, string>>;

const EXAMPLES: Readonly<Record<Environment, Partial<Record<Variable, string>>>> = {
  development: {
    ...COMMON_EXAMPLE,
    ENVIRONMENT: 'development',
    ALLOWED_ORIGINS: '*',
    LOG_LEVEL: 'DEBUG',
    LOG_FORMAT: 'colored',
  },
  production: {
    ...COMMON_EXAMPLE,
    ENVIRONMENT: 'production',
    ALLOWED_ORIGINS: 'https://yourdomain.com',
    CORS_CREDENTIALS: 'true',
    ENABLE_SSL: 'false',
    ALLOW_ANONYMOUS: 'true',
    ENABLE_RATE_LIMITING: 'false',
    ENABLE_API_KEY_AUTH: 'false',
    LOG_LEVEL: 'INFO',
    LOG_FORMAT: 'json',
  },
};

/** Values shown in comments where the default is empty. */
const PLACEHOLDERS: Partial<Record<Variable, string>> = {
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20TOKEN',
  OTEL_SERVICE_NAME: 'message-push-service',
  SERVICE_VERSION: '1.0.0',
  REDIS_URL: 'redis://localhost:6379/5',
  REDIS_NODES: 'redis-1.example.com:6379,redis-2.example.com:6379',
  REDIS_USERNAME: 'message-push',
  REDIS_SENTINEL_USERNAME: 'message-push',
  REDIS_SENTINEL_PASSWORD: 'your_secure_password',
  REDIS_TLS_CA_PATH: '/app/ssl/redis-ca.pem',
  REDIS_TLS_CERT_PATH: '/app/ssl/redis-client.pem',
  REDIS_TLS_KEY_PATH: '/app/ssl/redis-client-key.pem',
  REDIS_PASSWORD: 'your_secure_password',
  API_KEY: 'your_secure_api_key_here',
  API_KEYS:
    '[{"name":"kb-service","sha256":"0000000000000000000000000000000000000000000000000000000000000000","scopes":["publish"],"channels":["kb:*","task:*"],"expires_at":"2030-01-01T00:00:00Z"}]',
  API_KEYS_FILE: 'config/api-keys.json',
  JWT_SECRET: 'your_jwt_secret_here',
  JWT_PUBLIC_KEY: '/app/ssl/jwt-public.pem',
  JWT_JWKS_URL: 'https://login.example.com/.well-known/jwks.json',
  JWT_ALGORITHM: 'HS256',
  JWT_ISSUER: 'https://login.example.com/',
  JWT_AUDIENCE: 'message-push-service',
  AUTH_COOKIE: 'access_token',
  TICKET_SECRET: 'your_ticket_secret_here',
  AUTH_WEBHOOK_URL: 'http://app.example.com/internal/may-join',
  AUTH_WEBHOOK_SECRET: 'your_webhook_secret_here',
  SSL_CERT_PATH: '/app/ssl/cert.pem',
  SSL_KEY_PATH: '/app/ssl/key.pem',
  SSL_CA_PATH: '/app/ssl/ca.pem',
  GATEWAY_SERVICE_URL: 'http://gateway.example.com/services',
  SERVICE_PUBLIC_URL: 'https://push.example.com',
};

/** The text of `config/{environment}.env.example`. */
export function exampleText(environment: Environment): string {
  const context: DefaultContext = { environment, packageVersion: '1.0.0' };
  const lines = [
    `# Copy this file to config/${environment}.env and edit it. The process environment overrides it.`,
    '# A commented variable shows its default, or an example where there is none. All variables with types and',
    '# ranges: docs/reference/configuration.md. Check with: npm start -- --check-config',
    '# A value that contains # or begins or ends with a space needs quotes.',
  ];
  if (environment === 'production')
    lines.push(
      '# Change before use: ALLOWED_ORIGINS; ALLOW_ANONYMOUS=true, which lets anybody publish and read;',
      '# with MESSAGE_QUEUE_TYPE=redis also REDIS_PASSWORD. Example secrets are refused.',
    );
  for (const group of GROUPS) {
    lines.push('', `# == ${group.title} ==`);
    for (const variable of variablesOf(group)) {
      // CONFIG_FILE chooses the env file and cannot be set in it.
      if (variable === 'CONFIG_FILE') continue;
      const setting: Setting<unknown> = SETTINGS[variable];
      const value = EXAMPLES[environment][variable];
      const shown = value ?? PLACEHOLDERS[variable] ?? setting.show(setting.defaultOf(context));
      lines.push(
        '',
        ...wrap(`${sentences(variable).join(' ').replaceAll('`', '')} Must be ${setting.allowed}.`),
      );
      lines.push(value === undefined ? `# ${variable}=${shown}` : `${variable}=${value}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const COMMENT_WIDTH = 110;

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > COMMENT_WIDTH) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
