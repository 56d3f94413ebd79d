/**
 * The rules of a publish over HTTP, for every lane: where it is sent, how large its body may be, who may send it, and
 * which trace it carries on. `content-type.ts` decides how a body may be labelled, `answers.ts` what every answer has.
 */
import { demandPublish, demandPublishOf } from '../access/decisions.ts';
import type { Principal } from '../access/principal.ts';
import type { PublishKind } from '../core/message.ts';
import type { Publisher } from '../publish/publisher.ts';

export { PUBLISH_PATHS } from '../core/endpoints.ts';

export interface PublishExchangeOptions {
  readonly publisher: Pick<Publisher, 'handle'>;
  readonly maxMessageBytes: number;
  readonly maxBatchBytes: number;
}

/** A publish whose head was accepted and whose body has arrived. */
export interface PublishAsk {
  readonly kind: PublishKind;
  readonly body: Uint8Array;
  /** `ack` of the query as it came. */
  readonly ack: string | undefined;
  /** Absent when the service asks for no credentials. */
  readonly principal: Principal | undefined;
  /** The headers of W3C Trace Context. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
}

export class PublishExchange {
  readonly maxBodyBytes: Readonly<Record<PublishKind, number>>;
  readonly #publisher: Pick<Publisher, 'handle'>;

  constructor({ publisher, maxMessageBytes, maxBatchBytes }: PublishExchangeOptions) {
    this.#publisher = publisher;
    this.maxBodyBytes = { send: maxMessageBytes, broadcast: maxMessageBytes, batch: maxBatchBytes };
  }

  /** Throws if the principal may not send a publish of this kind, whatever its body says. */
  demand(kind: PublishKind, principal: Principal): void {
    demandPublishOf(principal, kind);
  }

  /** Resolves with the body of the answer, whose status is 200; rejects like `Publisher.handle`. */
  publish({ kind, body, ack, principal, traceparent, tracestate }: PublishAsk): Promise<string> {
    return this.#publisher.handle({
      kind,
      body,
      queryAck: ack,
      demand:
        principal === undefined || principal.channels.isAll
          ? undefined
          : (channels) => demandPublish(principal, channels),
      caller: traceparent === undefined ? undefined : { traceparent, tracestate },
    });
  }
}
