/**
 * Makes tickets from a principal and the body of its request. Where the application decides which channels users join,
 * it is asked about the channels that the user's token does not name. The ticket then holds them, and the application
 * is asked again when a stream is opened with it.
 */
import { channelOfQueryName } from '@message-push/protocol';
import { validationFailed } from '../../core/errors.ts';
import { ChannelSet } from '../channel-set.ts';
import { refusedJoins } from '../decisions.ts';
import type { Principal } from '../principal.ts';
import { planTicket, readTicketBody, type TicketRules, type TicketWish } from './ticket-request.ts';
import { newTicketId, type TicketSealer } from './tickets.ts';

export interface TicketOfficeOptions {
  readonly sealer: Pick<TicketSealer, 'seal'>;
  readonly rules: TicketRules;
  readonly now: () => number;
  /** Throws or rejects when the application refuses; `undefined` when it is not asked. */
  readonly admit?:
    | ((principal: Principal, channels: readonly string[], clientIp: string) => void | Promise<void>)
    | undefined;
}

export interface IssuedTicket {
  /** The value for `?ticket=`. */
  readonly ticket: string;
  /** The id by which the ticket can be revoked. */
  readonly ticketId: string;
  readonly userId: string | undefined;
  /** Names and patterns. */
  readonly channels: readonly string[];
  readonly expiresAtMs: number;
}

export class TicketOffice {
  readonly #options: TicketOfficeOptions;

  constructor(options: TicketOfficeOptions) {
    this.#options = options;
  }

  /** Rejects with a `RequestError`. `body` is the parsed JSON, not yet validated. */
  async issue(
    principal: Principal,
    body: unknown,
    { clientIp, pageOrigin }: { readonly clientIp: string; readonly pageOrigin: string | undefined },
  ): Promise<IssuedTicket> {
    const { sealer, rules, now } = this.#options;
    const wish = readTicketBody(body, rules);
    const granted = await this.#granted(principal, wish, clientIp);
    const context = { tokenId: newTicketId(), nowMs: now(), pageOrigin, granted };
    const plan = planTicket(principal, wish, rules, context);
    const ticket = await sealer.seal(plan);
    if (ticket === undefined) {
      const problem = 'must be fewer or shorter, or patterns: the ticket would be too long for a URL';
      throw validationFailed([{ field: 'channels', problem }]);
    }
    return {
      ticket,
      ticketId: plan.tokenId,
      userId: plan.userId,
      channels: plan.joins.toPatterns(),
      expiresAtMs: plan.expiresAtMs,
    };
  }

  async #granted(
    principal: Principal,
    { channels = [] }: TicketWish,
    clientIp: string,
  ): Promise<ChannelSet | undefined> {
    const { admit } = this.#options;
    if (admit === undefined || principal.kind !== 'user' || principal.credential !== 'jwt') return undefined;
    // The application can be asked about names only, not about patterns.
    const names = channels.filter((channel) => !channel.endsWith('*')).map(channelOfQueryName);
    const beyond = refusedJoins(principal, names);
    if (beyond.length === 0) return undefined;
    await admit(principal, beyond, clientIp);
    return ChannelSet.ofNames(beyond);
  }
}
