//! What browsers leave out of their offers unless they are told. Pure.

/** Says that sound is taken in stereo: Chromium plays one channel otherwise. */
export function withStereo(sdp: string): string {
  const opus = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  if (opus === undefined) return sdp;
  const parameters = new RegExp(`^(a=fmtp:${opus} )(?!.*\\bstereo=1)(.*)$`, 'm');
  return sdp.replace(parameters, '$1stereo=1;$2');
}

/**
 * Says at which bitrate Chromium begins to send pictures: it would begin with little, and take a while to find out what the
 * way carries. Other browsers leave out what they do not know.
 */
export function startingAt(sdp: string, kbps: number): string {
  const start = `x-google-start-bitrate=${kbps}`;
  return sdp.replace(/^a=rtpmap:(\d+) (?:H264|VP8|VP9|AV1)\/90000\r?\n(?:a=fmtp:\1 (.*?)\r?\n)?/gm, (lines, number: string, said?: string) => {
    const [codec] = lines.split(/\r?\n/);
    return `${codec}\r\na=fmtp:${number} ${said === undefined ? start : `${said};${start}`}\r\n`;
  });
}

/** Says that sound is wanted in one channel: who publishes a voice need not send it twice. */
export function withoutStereo(sdp: string): string {
  return sdp.replace(/^(a=fmtp:\d+ .*)$/gm, (line) => line.replace(/;?\b(sprop-)?stereo=1/g, ''));
}
