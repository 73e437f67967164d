"""Give the database's own user its default tenant, so that the SQL of the guide works as it is written there."""

import sys

from agent.analytics.login import login_script
from agent.db.administrator import administrator
from agent.db.paths import open_as_administrator
from agent.settings import Settings

settings = Settings.load()
with open_as_administrator(administrator(settings).url) as conn:
    (user,) = conn.execute("select session_user").fetchone() or ("",)
    conn.execute(login_script(user, tenant_id=settings.tenant_id))
sys.stdout.write(f"{user} works as the tenant {settings.tenant_id}.\n")
