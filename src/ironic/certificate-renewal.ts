// The agent outlives its certificate: a node with fast track waits for months between two deployments. So another one is served
// in time, on the same port, without a request being lost.

import { errorText } from "../errors.ts";
import type { Clock } from "../system/clock.ts";
import type { TlsServerOptions } from "../system/http-server.ts";
import type { Logger } from "../system/log.ts";
import { VALIDITY } from "./tls-certificate.ts";

export type RenewalOptions = {
  readonly clock: Clock;
  readonly log: Logger;
  /** Seconds that a new certificate has been valid for already. */
  readonly allowedClockSkew: number;
  /** Makes the next certificate. */
  readonly renew: () => Promise<TlsServerOptions>;
  /** Takes it into use. */
  readonly serve: (tls: TlsServerOptions) => void;
};

/** Seconds between two looks at the clock, which may be set at any time. */
const LOOK_EVERY = 600;
/** Half of a certificate's life: the other half is for conductors whose clock is wrong, and for renewals that fail. */
const RENEW_AFTER = VALIDITY / 2;

/** Call when the first certificate is being served. Resolves when `signal` is aborted, and never rejects. */
export async function keepCertificateFresh(options: RenewalOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, allowedClockSkew, renew, serve } = options;
  let madeAt = clock.now();
  while (await slept(clock, LOOK_EVERY, signal)) {
    const age = clock.now() - madeAt;
    // A clock that was set back can make a certificate one of the future.
    if (age < RENEW_AFTER && age >= -allowedClockSkew) continue;
    try {
      const next = await renew();
      if (signal.aborted) return;
      madeAt = clock.now();
      serve(next);
      log.info("Serving the API with a new certificate; Ironic trusts it like the one before");
    } catch (error) {
      log.error(
        `Renewing the certificate of the API failed, trying again in ${LOOK_EVERY / 60} minutes: ${errorText(error)}`,
      );
    }
  }
}

async function slept(clock: Clock, seconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(seconds, signal);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
