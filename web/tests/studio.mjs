// OBS Studio itself, on a screen in memory, with settings as its dialogs write them.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start, until } from './server.mjs';

const CLOSE_MS = 10_000;

/** What it asks at its first start is answered; nothing of it listens. */
const GLOBAL = `[General]
FirstRun=true
LastVersion=486539266
EnableAutoUpdates=false
ConfirmOnExit=false
[Basic]
Profile=test
ProfileDir=test
SceneCollection=test
SceneCollectionFile=test
[OBSWebSocket]
FirstLoad=false
ServerEnabled=false
[BasicWindow]
WarnBeforeStartingStream=false
WarnBeforeStoppingStream=false
`;

const profile = (preset, reconnects) => `[General]
Name=test
[Output]
Mode=Simple
Reconnect=${reconnects}
RetryDelay=1
[SimpleOutput]
StreamEncoder=x264
Preset=${preset}
VBitrate=800
ABitrate=96
UseAdvanced=true
[Video]
BaseCX=640
BaseCY=360
OutputCX=640
OutputCY=360
FPSType=0
FPSCommon=30
`;

const scene = (clip) => ({
  name: 'test',
  current_scene: 'Scene',
  current_program_scene: 'Scene',
  scene_order: [{ name: 'Scene' }],
  sources: [
    { id: 'ffmpeg_source', name: 'Clip', mixers: 255, settings: { is_local_file: true, local_file: clip, looping: true } },
    {
      id: 'scene',
      name: 'Scene',
      settings: { id_counter: 1, items: [{ id: 1, name: 'Clip', visible: true, pos: { x: 0, y: 0 }, scale: { x: 1, y: 1 } }] },
    },
  ],
});

/** A screen that nobody sees. */
export async function openScreen() {
  const { child, log, ended } = start('Xvfb', ['-displayfd', '1', '-screen', '0', '1280x720x24', '-nolisten', 'tcp']);
  const number = await until('the screen is there', () => {
    if (child.exitCode !== null) throw new Error(`Xvfb ended:\n${log()}`);
    return /^(\d+)$/m.exec(log())?.[1];
  });
  return {
    display: `:${number}`,
    async close() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Moving pictures with a tone, for its scene. */
export function makeClip(path) {
  execFileSync('ffmpeg', [
    ...['-hide_banner', '-loglevel', 'error', '-nostdin', '-y'],
    ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30', '-f', 'lavfi', '-i', 'sine=frequency=330:sample_rate=48000'],
    ...['-t', '10', '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', path],
  ]);
}

/** Starts it, and with it the stream to `server` with `key`. */
export function openObs({ screen, clip, preset, server, key, reconnects = false }) {
  const home = mkdtempSync(join(tmpdir(), 'barrage-obs-'));
  const config = join(home, '.config', 'obs-studio');
  const profiles = join(config, 'basic', 'profiles', 'test');
  const scenes = join(config, 'basic', 'scenes');
  for (const directory of [profiles, scenes]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(config, 'global.ini'), GLOBAL);
  writeFileSync(join(profiles, 'basic.ini'), profile(preset, reconnects));
  writeFileSync(join(profiles, 'service.json'), JSON.stringify({ type: 'rtmp_custom', settings: { server, key } }));
  writeFileSync(join(scenes, 'test.json'), JSON.stringify(scene(clip)));
  const { child, log, ended } = start(
    'obs',
    [
      ...['--startstreaming', '--profile', 'test', '--collection', 'test', '--scene', 'Scene'],
      ...['--multi', '--disable-updater', '--disable-missing-files-check', '--minimize-to-tray', '--verbose'],
    ],
    {
      env: {
        PATH: process.env.PATH,
        HOME: home,
        XDG_RUNTIME_DIR: home,
        DISPLAY: screen.display,
        LIBGL_ALWAYS_SOFTWARE: '1',
        QT_QPA_PLATFORM: 'xcb',
        LANG: 'C.UTF-8',
      },
    },
  );
  return {
    log,
    /** Waits for a line of its log. */
    says: (text, timeout) => until(`OBS says ${text}`, () => (text instanceof RegExp ? text.test(log()) : log().includes(text)), timeout),
    /** As the button “Stop Streaming” and the end of the program; one that asks something first is killed. */
    async close() {
      child.kill('SIGINT');
      const deadline = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
      await ended;
      clearTimeout(deadline);
      rmSync(home, { recursive: true, force: true });
    },
  };
}
