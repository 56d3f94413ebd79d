/** A channel and how far its log was announced, as sessions and deliveries see it. */
export interface ChannelPosition {
  readonly name: string;
  readonly epoch: string;
  /** Offset of the last announced publication. */
  readonly offset: number;
  /** Epoch and offset in the form that cursors hold. */
  readonly positionText: string;
}
