// What the options for URLs of Ironic and of its inspection service take: one word for discovery, or a list of URLs.

export const MDNS_OR_URLS = /^(mdns|https?:\/\/[^\s,]+(\s*,\s*https?:\/\/[^\s,]+)*)$/i;
export const MDNS_OR_URLS_FORM = "mdns, or one or more http:// or https:// URLs, separated by commas";
