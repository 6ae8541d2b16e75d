import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { Logger } from '../logging.ts';
import { parseExportHeaders } from './export-headers.ts';

/** After which what could not be sent is given up. */
export const EXPORT_MILLISECONDS = 5_000;

export interface CollectorOptions {
  /** Where it takes OTLP over HTTP, in JSON. */
  readonly endpoint: string;
  /** Headers of what is sent, as the configuration has them. */
  readonly headers: string | null;
  readonly logger: Logger;
}

/** A collector that need not be there: tells once when what is sent to it begins to fail, and once when that is well again. */
export class Collector {
  readonly #what: 'traces' | 'metrics';
  readonly #origin: string;
  readonly #logger: Logger;
  #isFailing = false;
  /** Where this is sent, and how: as the SDK's exporters have it. */
  readonly to: {
    readonly url: string;
    readonly headers: Record<string, string>;
    readonly timeoutMillis: number;
  };

  constructor(what: 'traces' | 'metrics', { endpoint, headers, logger }: CollectorOptions) {
    const url = new URL(endpoint);
    // OTLP's own, where the endpoint has none.
    if (url.pathname === '/') url.pathname = `/v1/${what}`;
    this.#what = what;
    this.#origin = url.origin;
    this.#logger = logger;
    this.to = {
      ...{ url: url.href, timeoutMillis: EXPORT_MILLISECONDS },
      headers: headers === null ? {} : (parseExportHeaders(headers) ?? {}),
    };
  }

  /** Sees how an export ended. @returns what the SDK is told, which would tell each failure to a handler of the whole process */
  watch(done: (result: ExportResult) => void): (result: ExportResult) => void {
    return ({ error }) => {
      this.#saw(error);
      done({ code: ExportResultCode.SUCCESS });
    };
  }

  #saw(error: Error | undefined): void {
    if ((error !== undefined) === this.#isFailing) return;
    this.#isFailing = error !== undefined;
    const collector = this.#origin;
    if (error === undefined) this.#logger.info({ collector }, `${this.#what} are sent again`);
    // What a collector answers is its own: its name for the failure is enough.
    else
      this.#logger.warn(
        { collector, reason: reasonOf(error) },
        `${this.#what} cannot be sent, and are lost until they can`,
      );
  }
}

/** Waits until what is left was sent, a few seconds at most. */
export async function closeWithin(milliseconds: number, shutdown: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  // What cannot be sent is nobody's affair any more.
  await Promise.race([shutdown.catch(() => {}), late]);
  clearTimeout(timer);
}

function reasonOf(error: Error): string {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' || typeof code === 'number' ? String(code) : error.name;
}
