/** Wires the parts of access as the configuration asks for them, with what they write to the log. */
import { readFile } from 'node:fs/promises';
import { AccessWebhook } from '../access/access-webhook.ts';
import { Authorizer, type UserOptions } from '../access/authorizer.ts';
import { Gate } from '../access/gate.ts';
import { KeyFile } from '../access/keys/key-file.ts';
import { parseKeyList } from '../access/keys/key-list.ts';
import { KeyRing, masterKey } from '../access/keys/key-ring.ts';
import { RateLimiter } from '../access/limits/rate-limiter.ts';
import { MemoryRateStore, SharedRateStore } from '../access/limits/rate-store.ts';
import { TicketOffice } from '../access/tickets/ticket-office.ts';
import { TicketSealer, ticketKey } from '../access/tickets/tickets.ts';
import { createJwtKeys } from '../access/tokens/jwt-keys.ts';
import { JwtVerifier } from '../access/tokens/jwt-verifier.ts';
import { concerns, type Revocation, Revocations, readRevocation } from '../access/tokens/revocations.ts';
import type { AccessConfig, JwtConfig, KeysConfig, UsersConfig } from '../config/access-config.ts';
import type { SharedCounters, SharedNotes } from '../core/shared-state.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { Log } from '../observe/log/log.ts';

export interface AccessParts {
  readonly config: AccessConfig;
  readonly log: Log;
  readonly now: () => number;
  /** True if pages of this origin may act for their visitors. */
  readonly isTrustedOrigin: (origin: string) => boolean;
  /** Keeps revocations and shares them with the other processes of the service. */
  readonly notes: SharedNotes;
  /** Absent when one process is the whole service. */
  readonly counters: SharedCounters | undefined;
  /** Ends the streams for which `isConcerned` is true and returns how many. */
  readonly endStreams: (
    isConcerned: (connectionId: string, credential: StreamCredential | undefined) => boolean,
  ) => number;
  readonly credentialOf: (connectionId: string) => StreamCredential | undefined;
}

export interface Access {
  readonly gate: Gate;
  readonly authorizer: Authorizer;
  readonly tickets: TicketOffice;
  readonly revocations: Revocations;
  readonly cookieName: string | undefined;
  readonly isRevoked: (credential: StreamCredential) => boolean;
  /** Call it when the engine is open, and before the service listens. */
  open(): Promise<void>;
  close(): void;
}

const SWEEP_MS = 60_000;

/** Rejects with an error meant for the operator. */
export async function createAccess(parts: AccessParts): Promise<Access> {
  const { config, log, now, notes } = parts;
  const keys = createKeys(parts);
  const revocations = createRevocations(parts);
  const sealer = new TicketSealer(ticketKey(config.tickets.secret), now);
  const webhook = createWebhook(config.users, parts);
  const authorizer = new Authorizer({
    keys: keys?.ring,
    users: config.users && (await createUsers(config.users, parts)),
    tickets: sealer,
    revocations,
    webhook,
    onRefused: (refusal) => log.info(refusal, 'a credential was refused'),
  });
  const tickets = new TicketOffice({
    sealer,
    rules: config.tickets,
    now,
    admit: webhook && ((principal, channels, clientIp) => authorizer.admit(principal, channels, clientIp)),
  });
  let sweeping: NodeJS.Timeout | undefined;
  return {
    gate: new Gate({ authorizer, limiter: createLimiter(parts) }),
    authorizer,
    tickets,
    revocations,
    cookieName: config.users?.cookieName,
    isRevoked: (credential) => revocations.isRevoked(credential),
    open: async () => {
      await keys?.file?.open();
      await notes.open({
        keepMs: config.revocationKeepMs,
        onNote: (note) => applyNote(note, revocations, log),
        known: () => revocations.snapshot().map((revocation) => JSON.stringify(revocation)),
      });
      sweeping = setInterval(() => revocations.sweep(), SWEEP_MS);
      sweeping.unref();
    },
    close: () => {
      clearInterval(sweeping);
      keys?.file?.close();
      notes.close();
    },
  };
}

interface Keys {
  readonly ring: KeyRing;
  readonly file: KeyFile | undefined;
}

function createKeys({ config, log, now, endStreams }: AccessParts): Keys | undefined {
  if (config.keys === undefined) return undefined;
  const ring = new KeyRing({
    now,
    onRemoved: (names) => {
      const removed = new Set(names.map((name) => `key:${name}`));
      const streams = endStreams(
        (_id, credential) => credential !== undefined && removed.has(credential.name),
      );
      log.info({ keys: names, streams }, 'API keys were removed');
    },
  });
  const { apiKey, list }: KeysConfig = config.keys;
  if (apiKey !== undefined) ring.replace('API_KEY', [masterKey(apiKey)]);
  if (list !== undefined) ring.replace('API_KEYS', parseKeyList(list, 'API_KEYS'));
  return { ring, file: createKeyFile(config.keys, ring, log) };
}

function createKeyFile({ file }: KeysConfig, ring: KeyRing, log: Log): KeyFile | undefined {
  if (file === undefined) return undefined;
  return new KeyFile({
    path: file,
    onKeys: (records) => {
      ring.replace('API_KEYS_FILE', records);
      log.info({ keys: records.length }, 'API_KEYS_FILE was read');
    },
    onError: (error) =>
      log.error(
        { err: error },
        'API_KEYS_FILE cannot be used in its current state; the keys read from it earlier stay valid',
      ),
  });
}

async function createUsers(
  { jwt, cookieName }: UsersConfig,
  { log, now, isTrustedOrigin }: AccessParts,
): Promise<UserOptions> {
  return { jwt: jwt && (await createVerifier(jwt, log, now)), cookieName, isTrustedOrigin };
}

async function createVerifier(
  { source, algorithms, issuers, audiences, clockToleranceMs, maxLifetimeMs }: JwtConfig,
  log: Log,
  now: () => number,
): Promise<JwtVerifier> {
  const keys = createJwtKeys(
    source.kind === 'publicKeyFile' ? { kind: 'publicKey', pem: await readKey(source.path) } : source,
    algorithms,
    (error) => log.warn({ err: error }, error.message),
  );
  return new JwtVerifier({ keys, algorithms, issuers, audiences, clockToleranceMs, maxLifetimeMs, now });
}

async function readKey(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new Error(`JWT_PUBLIC_KEY ${path} cannot be read (${code ?? message})`, { cause });
  }
}

function createWebhook(users: UsersConfig | undefined, { log, now }: AccessParts): AccessWebhook | undefined {
  const webhook = users?.webhook;
  if (webhook === undefined) return undefined;
  return new AccessWebhook({ ...webhook, now, onError: (error) => log.warn({ err: error }, error.message) });
}

function createLimiter({ config, log, now, counters }: AccessParts): RateLimiter | undefined {
  const limits = config.rateLimits;
  if (limits === undefined) return undefined;
  const store =
    counters === undefined
      ? new MemoryRateStore(now)
      : new SharedRateStore({
          now,
          call: (key, { limit, windowMs }, cost) => counters.take(key, limit, windowMs, cost),
          onError: (error) =>
            log.warn(
              { err: error },
              'rate limits cannot be shared with the other nodes; this node counts alone',
            ),
        });
  const { requestsPerMinute: request, connectsPerMinute: connect, windowMs, burst } = limits;
  return new RateLimiter({ store, perMinute: { request, connect }, windowMs, burst });
}

function createRevocations({ config, log, now, notes, endStreams, credentialOf }: AccessParts): Revocations {
  const revocations: Revocations = new Revocations({
    now,
    keepMs: config.revocationKeepMs,
    spread: (revocation: Revocation) => notes.add(JSON.stringify(revocation)),
    onRevoked: (revocation) => {
      const { kind, id } = revocation;
      const tokenId = kind === 'connection' ? credentialOf(id)?.tokenId : undefined;
      const streams = endStreams((connectionId, credential) =>
        // A stream without a credential can be revoked by its id.
        concerns(revocation, connectionId, credential ?? NOBODY),
      );
      log.info({ kind, id, streams }, 'revoked');
      // Otherwise the client could reconnect at once. Only the node that has the stream knows its credential.
      if (tokenId !== undefined) {
        revocations.revoke('token', tokenId).catch((error: unknown) => {
          log.error(
            { err: error, connectionId: id },
            'the credential of a revoked stream may still be valid on other nodes',
          );
        });
      }
    },
  });
  return revocations;
}

const NOBODY = {
  userId: undefined,
  tokenId: undefined,
  parentTokenIds: [],
  issuedAtMs: Number.NEGATIVE_INFINITY,
};

function applyNote(note: string, revocations: Revocations, log: Log): void {
  let value: unknown;
  try {
    value = JSON.parse(note);
  } catch {
    // Anybody who can write to Redis can write anything; it is reported below.
    value = undefined;
  }
  const revocation = readRevocation(value);
  if (revocation === undefined) log.warn('a revocation from another node cannot be read and is ignored');
  else if (!revocations.apply(revocation))
    log.error(`there is no room for more than ${revocations.size} revocations`);
}
