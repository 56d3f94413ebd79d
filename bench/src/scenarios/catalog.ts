import { broadcast } from './broadcast.ts';
import { idle } from './idle.ts';
import { reconnectStorm } from './reconnect-storm.ts';
import type { Scenario } from './scenario.ts';
import { slowReaders } from './slow-readers.ts';
import { unicast } from './unicast.ts';

export const SCENARIOS: readonly Scenario[] = [broadcast, unicast, idle, reconnectStorm, slowReaders];
