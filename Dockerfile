# The learning system as a container: the API, its worker and its background jobs in one process.
FROM python:3.12-slim

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY supabase ./supabase
# psycopg2 is not used by the agent: the guide's test of the connection imports it.
RUN pip install --no-cache-dir . psycopg2-binary && useradd --create-home learning && mkdir /data && chown learning /data
COPY docker/learning ./learning
COPY docker/start.sh ./start.sh

USER learning
ENV AGENT_HOME=/data
EXPOSE 8080
CMD ["sh", "/app/start.sh"]
