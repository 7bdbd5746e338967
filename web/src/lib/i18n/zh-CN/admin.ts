import type { admin as en } from '../en/admin';

export const admin: Record<keyof typeof en, string> = {
  'admin.title': '服务器管理',
};
