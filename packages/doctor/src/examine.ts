/** The examination: reaches the service, opens a stream and watches it, and runs all other checks meanwhile. */
import { checkClock } from './checks/clock.ts';
import { checkCors } from './checks/cors.ts';
import { checkExposure, checkHealth, isThisMachine } from './checks/exposure.ts';
import { checkMachine } from './checks/machine.ts';
import { checkEcho, checkPace } from './checks/pace.ts';
import { checkTransport, reach } from './checks/reach.ts';
import { checkRequestSize, checkResume } from './checks/resume.ts';
import { checkHeaders, checkStream, openStream } from './checks/stream.ts';
import { hostOf } from './exchange.ts';
import type { DoctorOptions } from './options.ts';
import { CHECK_NAMES, type CheckOutcome, made, type Report, skipped } from './report.ts';
import { Service } from './service.ts';

export async function examine(options: DoctorOptions): Promise<Report> {
  const { url, seconds, detours, authorities } = options;
  const way = { detours, authorities };
  const reached = await reach(way, url);
  if ('code' in reached) {
    return {
      url: url.href,
      base: url.href,
      protocol: undefined,
      seconds: 0,
      checks: [made('reach', [reached]), await machine(options)],
    };
  }
  const { base, protocol } = reached;
  const service = new Service({
    ...way,
    base,
    publishBase: options.publishUrl ?? base,
    userId: options.userId,
    token: options.token,
    apiKey: options.apiKey,
  });
  const apart = [
    checkTransport(way, reached, service.isPublic),
    checkHealth(service),
    checkExposure(service, options.metricsPort),
    machine(options),
  ];
  const checks = [made('reach', []), ...(await ofStreams(service, options)), ...(await Promise.all(apart))];
  return {
    url: url.href,
    base: base.href,
    protocol,
    seconds,
    checks: checks.toSorted((a, b) => CHECK_NAMES.indexOf(a.name) - CHECK_NAMES.indexOf(b.name)),
  };
}

async function ofStreams(service: Service, options: DoctorOptions): Promise<CheckOutcome[]> {
  const { origin, withCredentials, seconds } = options;
  const opened = await openStream(service);
  if ('code' in opened) {
    const others = (['headers', 'pace', 'echo', 'resume', 'request_size', 'cors', 'clock'] as const).map(
      (name) => skipped(name, 'no_stream'),
    );
    return [made('stream', [opened]), ...others];
  }
  const outcomes = await Promise.all([
    checkPace(opened, seconds),
    checkEcho(service, opened),
    checkResume(service),
    checkRequestSize(service),
    checkCors(service, origin, withCredentials),
  ]);
  opened.stream.close();
  return [checkStream(opened), checkHeaders(opened), ...outcomes, checkClock(opened)];
}

async function machine({ pid, servicePort, url }: DoctorOptions): Promise<CheckOutcome> {
  if (pid === undefined && !(await isThisMachine(hostOf(url)))) return skipped('machine', 'own_machine_only');
  return checkMachine({ pid, servicePort });
}
