//! What browsers leave out of their offers unless they are told. Pure.

/** Says that sound is taken in stereo: Chromium plays one channel otherwise. */
export function withStereo(sdp: string): string {
  const opus = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  if (opus === undefined) return sdp;
  const parameters = new RegExp(`^(a=fmtp:${opus} )(?!.*\\bstereo=1)(.*)$`, 'm');
  return sdp.replace(parameters, '$1stereo=1;$2');
}

/** Says that sound is wanted in one channel: who publishes a voice need not send it twice. */
export function withoutStereo(sdp: string): string {
  return sdp.replace(/^(a=fmtp:\d+ .*)$/gm, (line) => line.replace(/;?\b(sprop-)?stereo=1/g, ''));
}
