/** Variables of tracing, with OpenTelemetry's own names, so that a common environment configures this service too. */
import { optionalUrl } from './kinds/network-settings.ts';
import { boolean, Default, InvalidValue, optionalText, type Setting, setting } from './kinds/setting.ts';

const TRACING = 'ENABLE_TRACING=true';

type Headers = Readonly<Record<string, string>>;

function headerList(about: string): Setting<Headers | undefined> {
  return setting<Headers | undefined>(
    {
      type: 'list',
      allowed:
        'a comma-separated list of name=value with percent-encoded values, such as authorization=Bearer%20abc',
      parse: (text) => {
        const headers: Record<string, string> = {};
        for (const entry of text.split(',')) {
          const [, name, value] = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*=(.*)$/.exec(entry) ?? [];
          const decoded = decodedValue(value?.trim());
          if (name === undefined || decoded === undefined) return new InvalidValue();
          headers[name.toLowerCase()] = decoded;
        }
        return headers;
      },
      show: (headers) =>
        Object.entries(headers ?? {})
          .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
          .join(),
    },
    { about, needs: TRACING, isSecret: true, default: new Default<Headers | undefined>('', () => undefined) },
  );
}

/** Returns `undefined` for a value that a header may not have. */
function decodedValue(value: string | undefined): string | undefined {
  try {
    const text = decodeURIComponent(value ?? '');
    return /^[\t\x20-\x7e]+$/.test(text) ? text : undefined;
  } catch {
    // Malformed percent-encoding: the caller reports what is allowed.
    return undefined;
  }
}

function ratio(about: string, fallback: number): Setting<number> {
  return setting(
    {
      type: 'number',
      allowed: 'a number from 0 to 1',
      parse: (text) => (/^(?:0(?:\.\d+)?|1(?:\.0+)?|\.\d+)$/.test(text) ? Number(text) : new InvalidValue()),
    },
    { about, needs: TRACING, default: fallback },
  );
}

export const TRACING_SETTINGS = {
  ENABLE_TRACING: boolean({
    default: false,
    about:
      'Exports OpenTelemetry traces by OTLP over HTTP (JSON) and passes `traceparent` on to subscribers.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: optionalUrl(['http', 'https'], {
    needs: TRACING,
    about: 'URL of the collector; `/v1/traces` is appended. Default: `http://127.0.0.1:4318`.',
  }),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optionalUrl(['http', 'https'], {
    needs: TRACING,
    about: 'Full URL for traces, if it differs from the one above; nothing is appended to it.',
  }),
  OTEL_EXPORTER_OTLP_HEADERS: headerList(
    'Headers sent to the collector with each export, such as credentials.',
  ),
  OTEL_SERVICE_NAME: optionalText({
    allowed: 'up to 128 characters on one line',
    pattern: /^[^\p{C}]{1,128}$/u,
    needs: TRACING,
    about: 'Name of the service in traces. Default: SERVICE_NAME.',
  }),
  OTEL_TRACES_SAMPLER_ARG: ratio(
    'Share of the publishes without a `traceparent` that start a trace. A publish with one follows its sampled flag.',
    1,
  ),
} as const;
