#!/bin/sh
# Brings the database up to date, makes a key at the first start, and serves.
set -eu
agent migrate
agent setup
python3 /app/learning/login.py
if [ ! -s /data/api-key ]; then
  umask 077
  agent keys create --name compose --role operator --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["secret"])' > /data/api-key
fi
exec agent serve --host 0.0.0.0
