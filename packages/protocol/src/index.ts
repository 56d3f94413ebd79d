export * from './channel-name.ts';
export * from './cursor.ts';
export * from './event-stream-parser.ts';
export * from './position.ts';
export * from './wire.ts';
