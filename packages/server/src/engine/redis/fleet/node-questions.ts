/** What nodes ask each other about their streams, and how a node answers from its own registry. */
import type {
  ConnectionPage,
  ConnectionQuery,
  ConnectionView,
  JoinedQuery,
  LocalDirectory,
  PresenceEntry,
  Renewal,
  StreamTotals,
} from '../../../core/directory.ts';
import { credentialFromJson, type StreamCredentialJson } from '../../../core/stream-credential.ts';
import { type Cut, cutToFit } from './merge-views.ts';

/** Channels of a message, and connections that do not get it. */
export type CountQuestion = readonly [channels: readonly string[], exclude?: readonly string[]];

export type NodeQuestions = {
  readonly connections: {
    readonly question: ConnectionQuery & { readonly maxBytes: number };
    readonly answer: Cut<ConnectionPage>;
  };
  readonly presence: {
    readonly question: { readonly channel: string; readonly maxBytes: number };
    readonly answer: Cut<readonly PresenceEntry[]>;
  };
  readonly joinedChannels: {
    readonly question: JoinedQuery;
    readonly answer: readonly (readonly [string, number])[];
  };
  readonly totals: {
    readonly question: { readonly maxBytes: number };
    readonly answer: Cut<StreamTotals>;
  };
  readonly counts: {
    readonly question: readonly CountQuestion[];
    readonly answer: readonly number[];
  };
  readonly kick: { readonly question: string; readonly answer: boolean };
  /** The answer is null when there is none. */
  readonly find: { readonly question: string; readonly answer: ConnectionView | null };
  readonly renew: {
    readonly question: { readonly connectionId: string; readonly credential: StreamCredentialJson };
    readonly answer: Renewal;
  };
};

type Answers = {
  readonly [K in keyof NodeQuestions]: (
    local: LocalDirectory,
    question: NodeQuestions[K]['question'],
  ) => NodeQuestions[K]['answer'];
};

const ANSWERS: Answers = {
  connections: (local, { maxBytes, ...query }) => {
    const { total, connections } = local.connections(query);
    const { view, isCut } = cutToFit(connections, maxBytes);
    return { view: { total, connections: view }, isCut };
  },
  presence: (local, { channel, maxBytes }) => cutToFit(local.presence(channel), maxBytes),
  joinedChannels: (local, query) => [...local.joinedChannels(query)],
  totals: (local, { maxBytes }) => {
    const totals = local.totals();
    const { view, isCut } = cutToFit(Object.entries(totals.connectionsByUser), maxBytes);
    return { view: { ...totals, connectionsByUser: Object.fromEntries(view) }, isCut };
  },
  counts: (local, questions) => questions.map(([channels, exclude]) => local.countStreams(channels, exclude)),
  kick: (local, connectionId) => local.kick(connectionId),
  find: (local, connectionId) => local.find(connectionId) ?? null,
  renew: (local, { connectionId, credential }) => local.renew(connectionId, credentialFromJson(credential)),
};

/** Answers a question. Throws when this version does not know its subject. */
export function answerQuestion<K extends keyof NodeQuestions>(
  local: LocalDirectory,
  about: K,
  question: NodeQuestions[K]['question'],
): NodeQuestions[K]['answer'] {
  return ANSWERS[about](local, question);
}
