// Parameter types that several commands share.

import { type TSchema, Type } from "@sinclair/typebox";
import type { Json, JsonObject } from "../json.ts";

/** Any object: what is in it is checked by whoever reads it. */
export const jsonObject = Type.Unsafe<JsonObject>(Type.Object({}));

export const jsonList = Type.Unsafe<Json[]>(Type.Array(Type.Unknown()));

/** May be left out; null says the same. */
export const optional = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

/** The same parameter, with a sentence for the API reference. */
export const about = <T extends TSchema>(description: string, schema: T): T => ({ ...schema, description });
