/** The padding that gives all peers' messages the same size, measured from one message of each kind. */
import { type Delivered, measureUnpadded } from './calibrate.ts';
import { PEERS } from './peers/catalog.ts';
import type { PeerName, PublishKind } from './peers/peer.ts';
import type { Context } from './scenarios/scenario.ts';
import { onServer } from './scenarios/stage.ts';

const KINDS: readonly PublishKind[] = ['broadcast', 'unicast', 'batch'];

export class Padding {
  readonly #unpadded: ReadonlyMap<string, Delivered>;

  constructor(unpadded: ReadonlyMap<string, Delivered>) {
    this.#unpadded = unpadded;
  }

  static async measure(
    peers: readonly PeerName[],
    base: Omit<Context, 'peer' | 'settings' | 'pad'>,
  ): Promise<Padding> {
    const unpadded = new Map<string, Delivered>();
    for (const name of peers) {
      const peer = PEERS[name];
      await onServer({ ...base, peer, maxStreams: 100 }, async (_, port) => {
        for (const kind of KINDS) {
          const delivered = await measureUnpadded(peer, port, kind);
          if (delivered !== undefined) unpadded.set(`${name} ${kind}`, delivered);
        }
      });
    }
    return new Padding(unpadded);
  }

  /** Returns `wantedBytes`, or the smallest size that every peer can reach if that is larger. */
  possibleBytes(wantedBytes: number): number {
    return Math.max(wantedBytes, ...[...this.#unpadded.values()].map((one) => one.dataBytes));
  }

  /** Returns the padding; 0 for a peer that was not measured. */
  pad(peer: PeerName, kind: PublishKind, messageBytes: number): number {
    return Math.max(0, messageBytes - (this.#unpadded.get(`${peer} ${kind}`)?.dataBytes ?? 0));
  }
}
