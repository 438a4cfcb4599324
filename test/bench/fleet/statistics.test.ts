import { expect, test } from "bun:test";
import type { ApiRequest } from "./protocol.ts";
import { perSecond, quantile, statuses } from "./statistics.ts";

const request = (at: number, status = 202): ApiRequest => ({ at, kind: "heartbeat", status, took: 1 });

test("requests per second: every second of the time counts, also the last part of one, and nothing outside", () => {
  const requests = [999, 1000, 1999, 2000, 4100, 4300, 9000].map((at) => request(at));
  expect(perSecond(requests, 1000, 4200)).toEqual([2, 1, 0, 2]);
  expect(perSecond([], 1000, 1000)).toEqual([0]);
});

test("quantiles are values that occurred", () => {
  const values = [5, 1, 4, 2, 3];
  expect([0, 0.2, 0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([1, 1, 3, 5, 5]);
  expect(quantile([], 0.5)).toBe(0);
});

test("requests without an answer are counted as that", () => {
  expect(statuses([request(0), request(0), request(0, 0), request(0, 503)])).toEqual({
    "202": 2,
    "503": 1,
    "no answer": 1,
  });
});
