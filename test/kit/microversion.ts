// The microversion header of the Ironic API: which version a request asks for, and how a bad one is refused.
// The agent's abilities hang on it (token from 1.62, TLS from 1.68), so the rules are those of the real API.

import { ApiError } from "./api-error.ts";

export const VERSION_HEADER = "X-OpenStack-Ironic-API-Version";
const MINIMUM_MINOR = 1;

/** The API's version range; 1.82 is Ironic 2023.1. Only major version 1 exists. */
export class VersionRange {
  readonly maximumMinor: number;

  /** @throws Error when `maximum` does not look like "1.82". */
  constructor(maximum = "1.82") {
    const match = /^1\.(\d+)$/.exec(maximum);
    if (match === null) throw new Error(`The API version must look like 1.82, not ${maximum}.`);
    this.maximumMinor = Number(match[1]);
  }

  get minimum(): string {
    return `1.${MINIMUM_MINOR}`;
  }

  get maximum(): string {
    return `1.${this.maximumMinor}`;
  }

  /** The minor version a request asks for; without the header that is the oldest one. Throws a 406 ApiError. */
  requested(header: string | null): number {
    if (header === null || header.trim() === "") return MINIMUM_MINOR;
    const text = header.trim();
    if (text === "latest") return this.maximumMinor;
    const match = /^(\d+)\.(\d+)$/.exec(text);
    if (match === null) {
      throw ApiError.notAcceptable(`Invalid value for ${VERSION_HEADER} header: ${text}`, {});
    }
    const [major, minor] = [Number(match[1]), Number(match[2])];
    if (major !== 1 || minor < MINIMUM_MINOR || minor > this.maximumMinor) {
      throw ApiError.notAcceptable(
        `Version ${text} was requested but the requested API version is not supported by this service. ` +
          `The supported version range is: [${this.minimum}, ${this.maximum}].`,
        this.headers(),
      );
    }
    return minor;
  }

  /** The headers of every answer; `minor` is the version the request was served at. */
  headers(minor?: number): Record<string, string> {
    return {
      "X-OpenStack-Ironic-API-Minimum-Version": this.minimum,
      "X-OpenStack-Ironic-API-Maximum-Version": this.maximum,
      ...(minor === undefined ? {} : { [VERSION_HEADER]: `1.${minor}` }),
    };
  }
}
