// A mesh's certificates, P-256, made once with OpenSSL; valid 2026 to 2075. Nobody has their keys any more.

export const NAME = "web.ns.serviceaccount.identity.linkerd.cluster.local";
/** A moment at which all are valid. */
export const NOW_MS = Date.parse("2030-01-01T00:00:00Z");

const der = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

export const ROOT = der(
  "MIIBsDCCAVegAwIBAgIUEQVMjfBcIDLgUCsa3//TY1pBE/owCgYIKoZIzj0EAwIwJTEjMCEGA1UEAwwacm9vdC5saW5rZXJkLmNsdXN0ZXIubG9jYWwwIBcNMjYxMTI1MTcxNjEzWhgPMjA3NjExMTIxNzE2MTNaMCUxIzAhBgNVBAMMGnJvb3QubGlua2VyZC5jbHVzdGVyLmxvY2FsMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEg6oSaXLCfW0GJOVhf1ZB45jdXhUS1t/QDPfIwheDEREb+RiiZArBbpHrPYT9Yel9zWk8JsHw++hdvs2jm9IFAKNjMGEwHQYDVR0OBBYEFDnK6Ok6dwAlJrC/iIsZE5Pp/7B0MB8GA1UdIwQYMBaAFDnK6Ok6dwAlJrC/iIsZE5Pp/7B0MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0cAMEQCIAUTv0k6guDLgO+Kz6brRnx+fMHSuoeUiBHhgEV/j/heAiBTntriBrsAqXfTiFozd/BULIxlmCaNUDHP+b0q1R6jjg==",
);
export const INTERMEDIATE = der(
  "MIIBuDCCAV6gAwIBAgIUJ6eu81RNMrkgC7HPK1IJ+fCwUxQwCgYIKoZIzj0EAwIwJTEjMCEGA1UEAwwacm9vdC5saW5rZXJkLmNsdXN0ZXIubG9jYWwwIBcNMjYxMTI1MTcxNjEzWhgPMjA3NjAzMDcxNzE2MTNaMCkxJzAlBgNVBAMMHmlkZW50aXR5LmxpbmtlcmQuY2x1c3Rlci5sb2NhbDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHDKxQO2TfOE08KL8bsacMxVqBhzBWOm/j9m7hP18kmPGGsjlpFYfW00YKdrkUb9bBH2S2LLF3pS5R6tcg2k2ZejZjBkMBIGA1UdEwEB/wQIMAYBAf8CAQAwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBR2LSk3WVz2bHiNS0MQh9Iue5WkkjAfBgNVHSMEGDAWgBQ5yujpOncAJSawv4iLGROT6f+wdDAKBggqhkjOPQQDAgNIADBFAiEAqc6TA59Gueoby2i7L41EQC8qF8JhRcSpKpk9Z10TTKECIC/ox83gWPiKPwZoZmP5/Na8fn82EXAZElQfm9MRSqf2",
);
export const LEAF = der(
  "MIICLjCCAdSgAwIBAgIUVtzDCo3E/ZjNw2banufDa/2GmiowCgYIKoZIzj0EAwIwKTEnMCUGA1UEAwweaWRlbnRpdHkubGlua2VyZC5jbHVzdGVyLmxvY2FsMCAXDTI2MTEyNTE3MTYxM1oYDzIwNzUxMTI4MTcxNjEzWjA/MT0wOwYDVQQDDDR3ZWIubnMuc2VydmljZWFjY291bnQuaWRlbnRpdHkubGlua2VyZC5jbHVzdGVyLmxvY2FsMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUFlbTA6Nba0vDtR03S0yq7bwk5LXtqwifYoEA1P87NxKU2A9FLZMD7YYeSHq/L235VfdcWN80avjV3UH6uQFS6OBwTCBvjAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDAdBgNVHSUEFjAUBggrBgEFBQcDAQYIKwYBBQUHAwIwPwYDVR0RBDgwNoI0d2ViLm5zLnNlcnZpY2VhY2NvdW50LmlkZW50aXR5LmxpbmtlcmQuY2x1c3Rlci5sb2NhbDAdBgNVHQ4EFgQURAOB7Ri0lfFm/g6DE3o1ZhbfczQwHwYDVR0jBBgwFoAUdi0pN1lc9mx4jUtDEIfSLnuVpJIwCgYIKoZIzj0EAwIDSAAwRQIgf+oJnb0gEImsjKJcuzEgjvDQPH0Ik85FW3FTgwwTTywCIQC6abTL0vWFY6e2NZusa8m7hXSE+pNNT2tNAv9PMXEEjw==",
);
/** A certificate request for {@link NAME}. */
export const CSR = der(
  "MIIBTTCB8wIBADA/MT0wOwYDVQQDDDR3ZWIubnMuc2VydmljZWFjY291bnQuaWRlbnRpdHkubGlua2VyZC5jbHVzdGVyLmxvY2FsMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUFlbTA6Nba0vDtR03S0yq7bwk5LXtqwifYoEA1P87NxKU2A9FLZMD7YYeSHq/L235VfdcWN80avjV3UH6uQFS6BSMFAGCSqGSIb3DQEJDjFDMEEwPwYDVR0RBDgwNoI0d2ViLm5zLnNlcnZpY2VhY2NvdW50LmlkZW50aXR5LmxpbmtlcmQuY2x1c3Rlci5sb2NhbDAKBggqhkjOPQQDAgNJADBGAiEAvL85oAltnN6jbIktGMavq9/G4k2ZmzJ6yJtV35UsbgkCIQC2rA1Ctm9bdeJ/lFoAzVgailFa7mKTffbIQ9jYG6DkDA==",
);

/** The part of a certificate or request that is signed: the first element of the outer sequence (RFC 5280 §4.1). Null when there is none. */
export function signedPart(bytes: Uint8Array): Uint8Array | null {
  const outer = element(bytes, 0);
  const inner = outer === null ? null : element(bytes, outer.content);
  return inner === null ? null : bytes.slice(outer?.content, inner.end);
}

function element(bytes: Uint8Array, at: number): { readonly content: number; readonly end: number } | null {
  const first = bytes[at + 1];
  if (bytes[at] !== 0x30 || first === undefined) return null;
  if (first < 0x80) return { content: at + 2, end: at + 2 + first };
  let length = 0;
  const n = first & 0x7f;
  for (let i = 0; i < n; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
  return { content: at + 2 + n, end: at + 2 + n + length };
}
