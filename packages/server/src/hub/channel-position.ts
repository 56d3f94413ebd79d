/** A channel and the position of its last announcement, as sessions and deliveries see it. */
export interface ChannelPosition {
  readonly name: string;
  readonly epoch: string;
  /** Offset of the last announced publication. */
  readonly offset: number;
  /** Epoch and offset in the form that cursors hold. */
  readonly positionText: string;
}
