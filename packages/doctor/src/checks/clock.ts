/** Compares the clocks of the service and of its proxy with the clock of this machine. Credentials expire by them. */
import { type CheckOutcome, made } from '../report.ts';
import { type OpenedStream, seconds } from './stream.ts';

/** Clock difference that the service tolerates in JWTs by default. */
const TOLERANCE_MS = 5000;
/** Resolution of the `Date` header. */
const DATE_STEP_MS = 1000;

export function checkClock({ stream, serviceAheadMs }: OpenedStream): CheckOutcome {
  const { headers, headAtMs } = stream.answer;
  const dateMs = Date.parse(headers.date ?? '');
  const dateAheadMs = dateMs + DATE_STEP_MS / 2 - (performance.timeOrigin + headAtMs);
  const isServiceOff = Math.abs(serviceAheadMs) > TOLERANCE_MS;
  const isDateOff = Math.abs(dateAheadMs) > TOLERANCE_MS + DATE_STEP_MS;
  return made('clock', [
    isServiceOff ? { code: 'clock_skew', seen: { seconds: seconds(serviceAheadMs) } } : undefined,
    isDateOff && !isServiceOff
      ? { code: 'proxy_clock_skew', seen: { seconds: seconds(dateAheadMs) } }
      : undefined,
  ]);
}
