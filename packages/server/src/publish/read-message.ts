/**
 * Turns a parsed body into a draft: validates it, routes it, and makes its JSON for the wire, once. A pure function,
 * without a clock or an engine.
 */
import { hash, randomUUID } from 'node:crypto';
import { BROADCAST_CHANNEL, nameProblem, TARGET_PREFIXES } from '@message-push/protocol';
import { Ajv } from 'ajv';
import type { TSchema } from 'typebox';
import { type FieldProblem, shownValue, validationFailed } from '../core/errors.ts';
import type { AckLevel, Draft } from '../core/message.ts';
import type { PublishTrace } from '../observe/tracing/tracer.ts';
import { ackProblem } from './ack-level.ts';
import { isoTime } from './iso-time.ts';
import {
  type BroadcastBody,
  broadcastBodySchema,
  metadataSchema,
  type SendBody,
  sendBodySchema,
} from './message-schema.ts';
import { channelsOfTarget, targetProblems } from './route-target.ts';
import { fieldPath, schemaProblems } from './schema-problems.ts';

export interface MessageDefaults {
  /** `source` of a message that names none. */
  readonly serviceName: string;
  /** How long history keeps a message that names no ttl; 0 keeps it until it is trimmed. */
  readonly messageTtlMs: number;
  /** The levels that the engine offers. */
  readonly ackLevels: readonly AckLevel[];
}

export interface MessageInput {
  /** The body as JavaScript reads it, for validation. */
  readonly value: unknown;
  /** The body with numbers as they were written, for passing on. */
  readonly exact: unknown;
  /** The place of the body in the request: `''`, or `[3]` in a batch. */
  readonly root: string;
  /** The level of a message that names none. */
  readonly ack: AckLevel;
  readonly nowMs: number;
  /** Decides which trace the message carries on. Absent when tracing is off. */
  readonly trace?: Pick<PublishTrace, 'carry'> | undefined;
}

type JsonObject = Record<string, unknown>;
/** A body before validation, with the fields that are read by name. */
interface RawBody extends JsonObject {
  target?: unknown;
  metadata?: unknown;
  exclude_connections?: unknown;
}
type Body = Omit<SendBody, 'target'> & Partial<SendBody> & Partial<BroadcastBody>;

const BODY_FIELDS = Object.keys({ ...sendBodySchema.properties, ...broadcastBodySchema.properties });
const METADATA_FIELDS = Object.keys(metadataSchema.properties);
const TARGET_FIELDS = Object.keys(TARGET_PREFIXES);
/** Names that end up in logs and headers of subscribers, so they must be one line of text each. */
const ONE_LINE_FIELDS = ['service', 'source', 'id'] as const;
const MAX_ONE_LINE_BYTES = 512;

const firstFindingAjv = new Ajv();
const allFindingsAjv = new Ajv({ allErrors: true, verbose: true });
/** Above this only the first problem is looked for: a million wrong items must not cost a million objects. */
const MAX_FIELDS_FOR_ALL_FINDINGS = 1_000;

const sendValidators = compileValidators(sendBodySchema);
const broadcastValidators = compileValidators(broadcastBodySchema);

/** Throws `validation_failed`, which names every offending field. */
export function readMessage(
  kind: 'send' | 'broadcast',
  input: MessageInput,
  defaults: MessageDefaults,
): Draft {
  const body = readBody(kind, input, defaults.ackLevels);
  const isBroadcast = kind === 'broadcast';
  const target = isBroadcast ? {} : (body.target ?? {});
  const channels = isBroadcast ? [BROADCAST_CHANNEL] : channelsOfTarget(target);
  const exclude = isBroadcast && body.exclude_connections?.length ? body.exclude_connections : undefined;

  const exact = input.exact as { data: unknown; metadata?: JsonObject | null };
  const passedOn = exact.metadata == null ? undefined : withoutNulls(exact.metadata, METADATA_FIELDS);
  const priority = body.priority ?? body.metadata?.priority ?? 'normal';
  const ownTtl = body.ttl ?? body.metadata?.ttl;
  const ttl = ownTtl ?? defaults.messageTtlMs / 1_000;
  const metadata = passedOn === undefined ? { priority, ttl } : Object.assign({ priority, ttl }, passedOn);
  // Not those of the publisher's metadata. They were set above only to come first.
  metadata.priority = priority;
  metadata.ttl = ttl;
  if (input.trace !== undefined) carryTrace(input.trace, metadata);

  const { type, service } = body;
  const source = body.source ?? defaults.serviceName;
  const id = body.id ?? randomUUID();
  const timestamp = isoTime(input.nowMs);
  const wire = { id, timestamp, type, service, source, target, data: exact.data, metadata };
  return {
    message: {
      id,
      type,
      channels,
      exclude,
      timeMs: input.nowMs,
      json: Buffer.from(JSON.stringify(wire)),
    },
    ttlMs: ttl === 0 ? undefined : ttl * 1_000,
    hasOwnTtl: ownTtl !== undefined && ownTtl > 0,
    fingerprint:
      body.id === undefined
        ? undefined
        : fingerprintOf([
            type,
            service,
            source,
            target,
            exact.data,
            withoutRequestFields(passedOn),
            body.priority,
            body.ttl,
            exclude,
          ]),
    ack: body.metadata?.ack ?? input.ack,
  };
}

function readBody(kind: 'send' | 'broadcast', input: MessageInput, ackLevels: readonly AckLevel[]): Body {
  if (!isJsonObject(input.value)) {
    const problem = 'must be a JSON object';
    throw validationFailed([{ field: fieldPath(input.root, []), problem }]);
  }
  let body: RawBody = withoutNulls(input.value, BODY_FIELDS);
  body = withoutNullsIn(body, 'target', TARGET_FIELDS);
  body = withoutNullsIn(body, 'metadata', METADATA_FIELDS);
  const { isValid, listProblems } = kind === 'send' ? sendValidators : broadcastValidators;
  const problems = isValid(body) ? [] : listProblems(body, input.root);
  addNameProblems(body, input.root, problems);
  if (kind === 'broadcast' && isJsonObject(body.target) && Object.keys(body.target).length > 0) {
    // If it were ignored like other unknown fields, the message would reach everybody instead of the few it names.
    const problem = 'is not allowed: a broadcast reaches every stream, "send" has a target';
    addProblem(problems, fieldPath(input.root, ['target']), problem);
  }
  const { ack }: JsonObject = isJsonObject(body.metadata) ? body.metadata : {};
  const noAck = typeof ack === 'string' ? ackProblem(ack, ackLevels) : undefined;
  if (noAck !== undefined) addProblem(problems, fieldPath(input.root, ['metadata', 'ack']), noAck, ack);
  if (problems.length > 0) throw validationFailed(problems);
  return body as unknown as Body;
}

function addNameProblems(body: RawBody, root: string, problems: FieldProblem[]): void {
  for (const name of ONE_LINE_FIELDS) {
    const value = body[name];
    const problem = typeof value === 'string' ? nameProblem(value, MAX_ONE_LINE_BYTES) : undefined;
    if (problem !== undefined) addProblem(problems, fieldPath(root, [name]), problem);
  }
  if (isJsonObject(body.target)) {
    for (const { field, problem } of targetProblems(body.target)) {
      addProblem(problems, fieldPath(root, ['target', field]), problem);
    }
  }
}

function addProblem(problems: FieldProblem[], field: string, problem: string, value?: unknown): void {
  if (problems.some((known) => known.field === field)) return;
  problems.push({ field, problem, ...(value === undefined ? {} : { value: shownValue(value) }) });
}

interface Validators {
  readonly isValid: (value: unknown) => boolean;
  readonly listProblems: (value: JsonObject, root: string) => FieldProblem[];
}

function compileValidators(schema: TSchema): Validators {
  const isValid = firstFindingAjv.compile(schema);
  const findAll = allFindingsAjv.compile(schema);
  return {
    isValid: (value) => isValid(value),
    listProblems(value, root) {
      const validate = countFields(value) > MAX_FIELDS_FOR_ALL_FINDINGS ? isValid : findAll;
      validate(value);
      return schemaProblems(validate.errors ?? [], root);
    },
  };
}

/** Counts the fields and items that are validated one by one. */
function countFields(body: RawBody): number {
  const { target, exclude_connections: exclude } = body;
  return (
    (isJsonObject(target) ? Object.keys(target).length : 0) + (Array.isArray(exclude) ? exclude.length : 0)
  );
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns `object` itself unless one of `fields` is null, which many clients send for "not given". */
function withoutNulls(object: JsonObject, fields: readonly string[]): JsonObject {
  let hasNull = false;
  for (let i = 0; i < fields.length; i++) hasNull ||= object[fields[i] as string] === null;
  if (!hasNull) return object;
  return Object.fromEntries(
    Object.entries(object).filter(([field, value]) => value !== null || !fields.includes(field)),
  );
}

function withoutNullsIn(body: RawBody, field: string, fields: readonly string[]): RawBody {
  const inner = body[field];
  if (!isJsonObject(inner)) return body;
  const cleaned = withoutNulls(inner, fields);
  return cleaned === inner ? body : { ...body, [field]: cleaned };
}

/** Puts `traceparent` last, where `observe/tracing/trace-context.ts` finds it. */
function carryTrace(trace: Pick<PublishTrace, 'carry'>, metadata: JsonObject): void {
  const carried = trace.carry(metadata);
  if (carried === undefined) return;
  delete metadata['traceparent'];
  delete metadata['tracestate'];
  if (carried.tracestate !== undefined) metadata['tracestate'] = carried.tracestate;
  metadata['traceparent'] = carried.traceparent;
}

/** Drops the fields that concern only this request: a repeat that differs in these is the same message. */
function withoutRequestFields(metadata: JsonObject | undefined): JsonObject | undefined {
  if (metadata === undefined) return undefined;
  const { ack: _, traceparent: _parent, tracestate: _state, ...rest } = metadata;
  return Object.keys(rest).length === 0 ? undefined : rest;
}

/** 128 bits. It is not a secret, but two bodies must not have the same one by accident. */
function fingerprintOf(parts: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url').slice(0, 22);
}
