// What the product's container images set beside their program. Contract of #image.

/**
 * Environment of every image that runs the product's executable.
 *
 * glibc copies 2 KB and more by `rep movsb`, which on AMD's Zen cores is twenty times slower than its vector loop when the
 * destination lies just above the source modulo 4096, as it does where TLS records are opened. A sixth of the CPU of large bodies
 * goes there; other processors and C libraries ignore the setting or lose nothing by it (docs/adr/0016-bytes.md).
 */
export const IMAGE_ENVIRONMENT: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: "glibc.cpu.x86_rep_movsb_threshold=1073741824",
};
