// Puts a compressed twin (.br, .gz) beside each text file of the build. The server sends them as they
// are, so the work is done once, with the slowest and best settings.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const dist = fileURLToPath(new URL('../dist', import.meta.url))
const text = /\.(html|js|css|svg|json|txt|webmanifest)$/

for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name)
  if (!text.test(name) || !statSync(path).isFile()) continue
  const bytes = readFileSync(path)
  const br = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  })
  const gz = gzipSync(bytes, { level: 9 })
  if (br.length < bytes.length) writeFileSync(`${path}.br`, br)
  if (gz.length < bytes.length) writeFileSync(`${path}.gz`, gz)
}
