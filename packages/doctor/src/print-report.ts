/** Prints the report, as text or as JSON. */
import { FINDINGS, type FindingKind, PLACES } from './finding-catalog.ts';
import type { Language } from './language.ts';
import type { CheckName, Finding, Report, Seen, SkipReason } from './report.ts';

type Words = Readonly<Record<Language, string>>;

const CHECKS: Readonly<Record<CheckName, Words>> = {
  reach: { en: 'the service is reachable', zh: '服务可以连通' },
  transport: { en: 'TLS and HTTP/2', zh: 'TLS 与 HTTP/2' },
  stream: { en: 'a stream opens at once and is not compressed', zh: '连接立即建立，事件流未被压缩' },
  headers: { en: 'headers prevent caching', zh: '禁用缓存的响应头' },
  pace: { en: 'the stream stays open', zh: '连接保持不断' },
  echo: { en: 'messages arrive at once, one by one', zh: '消息逐条到达，没有延迟' },
  resume: { en: 'a reconnect resumes the stream', zh: '重连后可续传' },
  request_size: { en: 'large requests are accepted', zh: '较大的请求未被拒绝' },
  cors: { en: 'pages of the origin may open streams', zh: '该来源的页面可建立连接' },
  clock: { en: 'clocks agree', zh: '时钟一致' },
  health: { en: 'the service is ready and healthy', zh: '服务就绪且健康' },
  exposure: { en: 'internal endpoints are not public', zh: '敏感端点未对外暴露' },
  machine: { en: 'limits of the process and the kernel', zh: '进程与内核的限制' },
};

const REASONS: Readonly<Record<SkipReason, Words>> = {
  no_stream: { en: 'there is no stream to check', zh: '没有可检查的连接' },
  no_origin: {
    en: 'needs the origin of the page: --origin https://app.example.com',
    zh: '须指定页面来源：--origin https://app.example.com',
  },
  same_origin: { en: 'the page has the same origin as the service', zh: '页面与服务同源' },
  may_not_publish: {
    en: 'publishing is closed here, as it should be; to check: --key KEY or --publish-url http://127.0.0.1:8089',
    zh: '该地址不开放发布，符合预期；如要检查，请指定 --key KEY 或 --publish-url http://127.0.0.1:8089',
  },
  own_machine_only: {
    en: "also run doctor on the service's machine",
    zh: '请在服务所在机器上也运行一次 doctor',
  },
  not_public: { en: 'this URL is local to this machine', zh: '该地址仅限本机访问' },
  process_not_found: {
    en: 'no process of the service was found: use --pid PID or --service-port PORT',
    zh: '未找到服务进程，请指定 --pid PID 或 --service-port PORT',
  },
  process_not_readable: {
    en: 'the process cannot be read: run doctor as its user',
    zh: '无法读取该进程：请以该进程的用户身份运行',
  },
};

const COLON: Words = { en: ': ', zh: '：' };

const RUNBOOK = 'docs/production/troubleshooting';

function findingsOf(report: Report): Finding[] {
  return report.checks.flatMap(({ findings }) => findings);
}

export function hasProblem(report: Report): boolean {
  return findingsOf(report).some(({ code }) => kindOf(code).severity === 'problem');
}

export function reportText(report: Report, language: Language): string {
  const lines = [heading(report, language), ''];
  for (const { name, skipped, findings } of report.checks) {
    const mark = findings.length > 0 ? '✗' : skipped === undefined ? '✓' : '–';
    const why = skipped === undefined ? '' : `${COLON[language]}${REASONS[skipped][language]}`;
    lines.push(`  ${mark} ${CHECKS[name][language]}${why}`);
  }
  for (const finding of findingsOf(report)) lines.push('', ...findingLines(finding, language));
  lines.push('', conclusion(report, language), '');
  return lines.join('\n');
}

export function reportJson(report: Report, language: Language): string {
  const findings = findingsOf(report).map(({ code, seen }) => {
    const { severity, title, text, fixes } = kindOf(code);
    return {
      code,
      severity,
      title: title[language],
      text: filled(text[language], seen),
      seen,
      fixes: fixes.map(({ where, line }) => ({ where: PLACES[where][language], line: filled(line, seen) })),
    };
  });
  const checks = report.checks.map(({ name, skipped, findings: found }) => ({
    name,
    outcome: found.length > 0 ? 'found' : skipped === undefined ? 'good' : 'skipped',
    ...(skipped !== undefined && { reason: REASONS[skipped][language] }),
  }));
  const { url, base, protocol, seconds } = report;
  return `${JSON.stringify({ url, base, protocol: protocol ?? null, seconds, ok: !hasProblem(report), findings, checks }, null, 2)}\n`;
}

function heading({ url, base, protocol, seconds }: Report, language: Language): string {
  const led = base === url ? '' : ` → ${base}`;
  const by =
    protocol === undefined
      ? ''
      : language === 'en'
        ? `, ${protocol}, watched for ${seconds} s`
        : `，${protocol}，观察 ${seconds} 秒`;
  return `${url}${led}${by}`;
}

function findingLines({ code, seen }: Finding, language: Language): string[] {
  const { severity, title, text, fixes } = kindOf(code);
  const mark = severity === 'problem' ? '✗' : '!';
  return [
    `${mark} ${title[language]}  [${code}]`,
    `    ${filled(text[language], seen)}`,
    ...fixes.flatMap(({ where, line }, i) => {
      const change = `        ${filled(line, seen)}`;
      return fixes[i - 1]?.where === where
        ? [change]
        : [`    ${PLACES[where][language]}${COLON[language].trimEnd()}`, change];
    }),
  ];
}

function conclusion(report: Report, language: Language): string {
  const found = findingsOf(report);
  if (found.length === 0) return language === 'en' ? 'No problems found.' : '没有发现问题。';
  const page = `${RUNBOOK}${language === 'zh' ? '.zh' : ''}.md`;
  return language === 'en'
    ? `${found.length} found; see ${page} for each`
    : `发现 ${found.length} 项；详见 ${page}`;
}

function kindOf(code: Finding['code']): FindingKind {
  return FINDINGS[code];
}

function filled(template: string, seen: Seen): string {
  return template.replace(/\{(\w+)\}/g, (placeholder, name: string) => String(seen[name] ?? placeholder));
}
