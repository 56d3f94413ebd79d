/**
 * Profiles of the process that answers, for operators. The routes exist only while profiling is on: a heap snapshot
 * holds every message and secret in memory, so whoever may take one can read them all.
 */
import type { Http2ServerResponse } from 'node:http2';
import type { Writable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type, { type TSchema } from 'typebox';
import { demandManage } from '../../../access/decisions.ts';
import type { ProfileRun, Profiler } from '../../../observe/profiler.ts';
import type { Api } from '../api-options.ts';
import { errorAnswers } from '../docs/error-answers.ts';

const DEFAULT_SECONDS = 10;
const MAX_SECONDS = 60;

const numbers = Type.Array(Type.Integer());

const cpuProfileSchema = Type.Object(
  {
    nodes: Type.Array(Type.Object({}, { additionalProperties: true }), {
      description: 'The call tree.',
    }),
    startTime: Type.Integer({ description: 'Microseconds.' }),
    endTime: Type.Integer(),
    samples: numbers,
    timeDeltas: numbers,
  },
  {
    additionalProperties: true,
    description: 'A `.cpuprofile`, as Chrome DevTools and editors read it.',
    examples: [
      {
        nodes: [
          {
            id: 1,
            callFrame: { functionName: '(root)', scriptId: '0', url: '', lineNumber: -1, columnNumber: -1 },
            hitCount: 0,
          },
        ],
        startTime: 86_400_000_000,
        endTime: 86_410_000_000,
        samples: [1],
        timeDeltas: [1_000],
      },
    ],
  },
);

const heapSnapshotSchema = Type.Object(
  {
    snapshot: Type.Object({}, { additionalProperties: true, description: 'What the numbers mean.' }),
    nodes: numbers,
    edges: numbers,
    strings: Type.Array(Type.String()),
  },
  {
    additionalProperties: true,
    description: 'A `.heapsnapshot`, as Chrome DevTools reads it.',
    examples: [
      { snapshot: { node_count: 1, edge_count: 0 }, nodes: [9, 1, 1, 0, 0, 0, 0], edges: [], strings: [''] },
    ],
  },
);

/** Widened, because the answers are written as bytes. */
const answers = (schema: TSchema): Record<number, TSchema> => ({
  200: schema,
  ...errorAnswers(409, 422, 503),
});

const WHAT =
  'Profiles the main thread of the process that answers, one at a time. Needs the scope `manage` for all channels.';

export function registerProfileRoutes(api: Api, profiler: Pick<Profiler, 'begin'>): void {
  api.post(
    '/sse/api/v1/profiles/cpu',
    {
      schema: {
        tags: ['Profiles'],
        operationId: 'takeCpuProfile',
        summary: 'Record a CPU profile',
        description: `${WHAT} Answers when the time is over; a process that is told to stop answers with the samples taken so far.`,
        querystring: Type.Object({
          seconds: Type.Integer({
            minimum: 1,
            maximum: MAX_SECONDS,
            default: DEFAULT_SECONDS,
            description: 'Duration of the recording.',
          }),
        }),
        response: answers(cpuProfileSchema),
      },
    },
    async (request, reply) => {
      const { seconds } = request.query;
      demandManage(request.principal);
      const run = beginRun(profiler, request, reply);
      request.log.info({ seconds }, 'taking a CPU profile');
      const profile = await run.cpuProfile(seconds * 1_000);
      return download(reply, `${run.name}.cpuprofile`, profile.byteLength).send(profile);
    },
  );

  api.post(
    '/sse/api/v1/profiles/heap',
    {
      schema: {
        tags: ['Profiles'],
        operationId: 'takeHeapSnapshot',
        summary: 'Take a heap snapshot',
        description: `${WHAT} The process is blocked meanwhile, for some 8 s per 100 MB of heap, and needs several times as much memory. The snapshot contains messages and secrets.`,
        response: answers(heapSnapshotSchema),
      },
    },
    async (request, reply) => {
      demandManage(request.principal);
      const run = beginRun(profiler, request, reply);
      request.log.info('taking a heap snapshot; the process is blocked meanwhile');
      const { bytes, json } = run.heapSnapshot();
      return download(reply, `${run.name}.heapsnapshot`, bytes).send(json);
    },
  );
}

/** Begins a run that ends when its answer was sent, or when the client disconnects. */
function beginRun(
  profiler: Pick<Profiler, 'begin'>,
  request: FastifyRequest,
  reply: FastifyReply,
): ProfileRun {
  const run = profiler.begin();
  const { raw } = reply;
  if (request.raw.httpVersionMajor === 2) {
    const { stream } = raw as unknown as Http2ServerResponse;
    onceClosed(stream, () => run.release());
    return run;
  }
  // Connections may be half open, so a client that disconnects looks like one that has sent everything. Either way
  // the profile ends, and the answer has the samples so far.
  const end = (): void => run.end();
  const { socket } = request.raw;
  socket.once('end', end);
  onceClosed(raw, () => {
    socket.off('end', end);
    run.release();
  });
  return run;
}

/** Calls back at once if it has closed already, while the credential was checked. */
function onceClosed(emitter: Pick<Writable, 'once' | 'destroyed'>, onClosed: () => void): void {
  if (emitter.destroyed) onClosed();
  else emitter.once('close', onClosed);
}

function download(reply: FastifyReply, filename: string, bytes: number): FastifyReply {
  return reply.headers({
    'content-type': 'application/json',
    'content-disposition': `attachment; filename="${filename}"`,
    'content-length': bytes,
  });
}
