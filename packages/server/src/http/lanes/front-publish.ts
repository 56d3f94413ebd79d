/** The fast lane of publishes: which of them the front takes, who may send them, and their answers as HTTP/1.1. */
import type { Socket } from 'node:net';
import type { Gate, GateAnswer } from '../../access/gate.ts';
import { type RateResult, rateHeaders } from '../../access/limits/rate-limiter.ts';
import type { Principal } from '../../access/principal.ts';
import { ACK_LEVELS, type AckLevel, PUBLISH_KINDS, type PublishKind } from '../../core/message.ts';
import { type AnsweredRequest, type Answers, type RouteCounter, requestIdOf } from '../answers.ts';
import { contentTypeError } from '../content-type.ts';
import { headerLines, statusLine } from '../error-response.ts';
import { httpDate } from '../http-date.ts';
import { PUBLISH_PATHS, type PublishExchange } from '../publish-exchange.ts';
import type { PlainAnswer, PlainPublish, PublishLane } from './front.ts';
import type { PlainHead } from './front-request.ts';
import { plainParts } from './plain-parts.ts';

export interface FrontPublishOptions {
  readonly exchange: PublishExchange;
  readonly answers: Answers;
  readonly gate: Pick<Gate, 'isOpen' | 'ask'>;
  readonly clientIp: (socket: Socket, forwardedFor: string | undefined) => string;
}

interface PublishTarget {
  readonly kind: PublishKind;
  readonly ack: AckLevel | undefined;
  readonly counter: RouteCounter;
}

export class FrontPublish implements PublishLane {
  readonly exchange: PublishExchange;
  readonly answers: Answers;
  readonly #gate: FrontPublishOptions['gate'];
  readonly #clientIp: FrontPublishOptions['clientIp'];
  /** Whole targets, so that a query is looked up like a path. Any other target is left to the HTTP server. */
  readonly #targets: ReadonlyMap<string, PublishTarget>;
  /** The head of a good answer except its date, id and length. Made once, because every publish needs it. */
  readonly #goodHead: string;
  /** The same with the date of the current second. */
  #datedHead = '';
  #date = '';

  constructor({ exchange, answers, gate, clientIp }: FrontPublishOptions) {
    this.exchange = exchange;
    this.answers = answers;
    this.#gate = gate;
    this.#clientIp = clientIp;
    this.#targets = new Map(
      PUBLISH_KINDS.flatMap((kind): [string, PublishTarget][] => {
        const path = PUBLISH_PATHS[kind];
        const counter = answers.counterOf('POST', path);
        return [
          [path, { kind, ack: undefined, counter }],
          ...ACK_LEVELS.map((ack): [string, PublishTarget] => [`${path}?ack=${ack}`, { kind, ack, counter }]),
        ];
      }),
    );
    const headers = { 'content-type': 'application/json; charset=utf-8', ...answers.constantHeaders };
    this.#goodHead = statusLine(200) + headerLines(headers);
  }

  begin(head: PlainHead, socket: Socket): PlainPublish | undefined {
    const target = this.#targets.get(head.target);
    const { headers, contentLength } = head;
    if (
      target === undefined ||
      // The CORS headers of the answer depend on it.
      headers.has('origin') ||
      contentLength > this.exchange.maxBodyBytes[target.kind] ||
      contentTypeError(headers.get('content-type'), undefined) !== undefined
    ) {
      return undefined;
    }
    return new Exchange(this, target, head, this.#gate.isOpen ? undefined : this.#ask(head, socket));
  }

  #ask(head: PlainHead, socket: Socket): GateAnswer | Promise<GateAnswer> {
    try {
      const clientIp = this.#clientIp(socket, head.headers.get('x-forwarded-for'));
      return this.#gate.ask('request', plainParts(head), clientIp);
    } catch (error) {
      // A fault: answered with 500 like one that comes later.
      return Promise.reject(error);
    }
  }

  goodAnswer(requestId: string, rate: RateResult | undefined, json: string): PlainAnswer {
    const date = httpDate(Date.now());
    if (date !== this.#date) {
      this.#date = date;
      this.#datedHead = `${this.#goodHead}date: ${date}\r\nx-request-id: `;
    }
    const rates = rate === undefined ? '' : headerLines(rateHeaders(rate));
    const head = `${this.#datedHead}${requestId}\r\n${rates}content-length: ${Buffer.byteLength(json)}\r\n`;
    return { head, body: json };
  }
}

/** One publish, from its head to its answer. */
class Exchange implements PlainPublish, AnsweredRequest {
  readonly requestId: string;
  readonly method = 'POST';
  readonly #lane: FrontPublish;
  readonly #target: PublishTarget;
  readonly #headers: ReadonlyMap<string, string>;
  readonly #asked: GateAnswer | Promise<GateAnswer> | undefined;
  readonly #startedMs = performance.now();

  constructor(
    lane: FrontPublish,
    target: PublishTarget,
    { headers }: PlainHead,
    asked: GateAnswer | Promise<GateAnswer> | undefined,
  ) {
    this.requestId = requestIdOf(headers.get('x-request-id'));
    this.#lane = lane;
    this.#target = target;
    this.#headers = headers;
    this.#asked = asked;
  }

  get path(): string {
    return PUBLISH_PATHS[this.#target.kind];
  }

  async isRefused(): Promise<boolean> {
    if (this.#asked === undefined) return false;
    try {
      this.#admitted(await this.#asked);
      return false;
    } catch {
      // The answer says why.
      return true;
    }
  }

  async answer(body: Uint8Array): Promise<PlainAnswer> {
    const { kind, ack } = this.#target;
    const { exchange } = this.#lane;
    let rate: RateResult | undefined;
    try {
      let principal: Principal | undefined;
      if (this.#asked !== undefined) {
        const asked = this.#asked instanceof Promise ? await this.#asked : this.#asked;
        ({ rate } = asked);
        principal = this.#admitted(asked);
      }
      const traceparent = this.#headers.get('traceparent');
      const tracestate = this.#headers.get('tracestate');
      const json = await exchange.publish({ kind, body, ack, principal, traceparent, tracestate });
      this.#answered(200);
      return this.#lane.goodAnswer(this.requestId, rate, json);
    } catch (error) {
      return this.#failed(error, rate);
    }
  }

  #admitted(asked: GateAnswer): Principal {
    if (asked.error !== undefined) throw asked.error;
    this.#lane.exchange.demand(this.#target.kind, asked.principal);
    return asked.principal;
  }

  #failed(error: unknown, rate: RateResult | undefined): PlainAnswer {
    const { answers } = this.#lane;
    const { status, headers, body } = answers.failed(error, this);
    this.#answered(status);
    const all = {
      ...answers.ownHeaders(this.requestId, undefined),
      ...(rate !== undefined && rateHeaders(rate)),
      ...headers,
    };
    const length = `content-length: ${Buffer.byteLength(body)}\r\n`;
    return { head: statusLine(status) + headerLines(all) + length, body };
  }

  #answered(status: number): void {
    this.#lane.answers.answered(this, this.#target.counter, status, performance.now() - this.#startedMs);
  }
}
