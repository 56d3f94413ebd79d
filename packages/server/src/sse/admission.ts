/** Decides whether a stream may be opened: the limits, the drain, and credentials that were revoked meanwhile. */
import type { UserQuota } from '../core/directory.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { StreamEnd } from '../core/stream-ends.ts';
import type { StreamPlan } from './stream-plan.ts';
import type { StreamRegistry } from './stream-registry.ts';
import type { StreamSettings } from './stream-settings.ts';
import { holdSocket } from './wire/socket-binding.ts';
import type { StreamSocket } from './wire/stream-socket.ts';

export interface AdmissionOptions {
  readonly settings: Pick<
    StreamSettings,
    'maxConnections' | 'maxConnectionsPerUser' | 'maxConnectionsPerAddress'
  >;
  readonly registry: Pick<StreamRegistry, 'size' | 'countOfUser' | 'countOfAddress'>;
  /** Limits a user's streams on all nodes together. Absent when this process has them all. */
  readonly userQuota?: UserQuota | undefined;
  readonly isRevoked?: ((credential: StreamCredential) => boolean) | undefined;
}

/** Why a stream is refused; `cause` when that is a failure. */
export interface Refusal {
  readonly reason: StreamEnd;
  readonly cause?: unknown;
}

export class Admission {
  readonly #options: AdmissionOptions;
  /** Streams that wait for a decision. They count as connections. */
  #waiting = 0;
  #isDraining = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** True when any newcomer would be turned away, so that nobody needs to be asked about it. */
  get isFull(): boolean {
    const { registry, settings } = this.#options;
    return this.#isDraining || registry.size + this.#waiting >= settings.maxConnections;
  }

  startDraining(): void {
    this.#isDraining = true;
  }

  /** The refusal that this process can decide by itself. */
  refusal({ userId, clientIp, credential }: StreamPlan): Refusal | undefined {
    const { registry, settings, isRevoked } = this.#options;
    if (this.#isDraining) return { reason: 'draining' };
    if (credential !== undefined && isRevoked?.(credential)) return { reason: 'revoked' };
    if (this.isFull) return { reason: 'too_many_connections' };
    const { maxConnectionsPerUser: perUser, maxConnectionsPerAddress: perAddress } = settings;
    if (perUser > 0 && userId !== undefined && registry.countOfUser(userId) >= perUser) {
      return { reason: 'too_many_connections_of_user' };
    }
    if (perAddress > 0 && registry.countOfAddress(clientIp) >= perAddress) {
      return { reason: 'too_many_connections_of_address' };
    }
    return undefined;
  }

  /** True when other nodes have a say in this stream: `reserve` must be asked. */
  needsReservation({ userId }: StreamPlan): boolean {
    return this.#options.userQuota !== undefined && userId !== undefined;
  }

  /** Reserves a place in the user's quota. Unless it is refused, `release` must follow. */
  async reserve(socket: StreamSocket, plan: StreamPlan): Promise<Refusal | undefined> {
    const { userQuota } = this.#options;
    if (userQuota === undefined || plan.userId === undefined) return undefined;
    let isReserved: boolean;
    try {
      isReserved = await this.hold(socket, userQuota.reserve(plan.userId));
    } catch (cause) {
      return { reason: 'engine_failed', cause };
    }
    return isReserved ? undefined : { reason: 'too_many_connections_of_user' };
  }

  release(userId: string | undefined): void {
    if (userId !== undefined) this.#options.userQuota?.release(userId);
  }

  /** Keeps a socket that waits for a decision. */
  async hold<T>(socket: StreamSocket, decision: Promise<T>): Promise<T> {
    this.#waiting++;
    try {
      return await holdSocket(socket, decision);
    } finally {
      this.#waiting--;
    }
  }
}
