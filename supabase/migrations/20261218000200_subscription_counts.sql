-- Whether subscribers of an application and its webhook are told how many subscribe.
alter table agents.realtime_apps add column subscription_counts boolean not null default false;
