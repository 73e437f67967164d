"""A schema of more than 200 tables with plural names in one schema: a service that hosts code, projects and shops."""

from __future__ import annotations

from benchmarks.wide_schema import tables_ddl

_TABLES = """
users: username name email state created_at last_sign_in_at is_admin
namespaces: name path owner_id>users parent_id>namespaces kind
projects: name path namespace_id>namespaces creator_id>users visibility archived_at star_count
members: user_id>users project_id>projects access_level expires_on
issues: project_id>projects author_id>users milestone_id>milestones title state confidential_flag due_on closed_at weight_count
issue_assignees: issue_id>issues user_id>users
issue_links: source_id>issues target_id>issues link_type
issue_metrics: issue_id>issues first_mentioned_at first_added_to_board_at
labels: project_id>projects title color
label_links: label_id>labels issue_id>issues
milestones: project_id>projects title starts_on due_on state
boards: project_id>projects name
board_lists: board_id>boards label_id>labels position_count
merge_requests: target_project_id>projects author_id>users source_branch target_branch state merged_at draft_flag
merge_request_assignees: merge_request_id>merge_requests user_id>users
merge_request_reviewers: merge_request_id>merge_requests user_id>users reviewed_at
merge_request_diffs: merge_request_id>merge_requests files_count base_sha
merge_request_metrics: merge_request_id>merge_requests first_comment_at merged_by_id>users
approvals: merge_request_id>merge_requests user_id>users approved_at
approval_rules: project_id>projects name required_count
notes: author_id>users issue_id>issues merge_request_id>merge_requests body written_at is_system
award_emojis: user_id>users note_id>notes emoji
todos: user_id>users issue_id>issues state
events: author_id>users project_id>projects action happened_at
snippets: author_id>users title visibility content
wikis: project_id>projects
wiki_pages: wiki_id>wikis title slug
repositories: project_id>projects size_bytes default_branch storage_shard_id>shards
shards: name
branches: repository_id>repositories name protected_flag
protected_branches: project_id>projects name
commits: repository_id>repositories sha author_id>users message committed_at additions_count deletions_count
tags: repository_id>repositories name commit_id>commits
releases: project_id>projects tag name released_at author_id>users
release_links: release_id>releases url
forks: source_id>projects forked_id>projects
stars: user_id>users project_id>projects starred_at
watches: user_id>users project_id>projects
keys: user_id>users fingerprint added_at last_used_at
deploy_keys: project_id>projects fingerprint can_push
access_tokens: user_id>users name scopes expires_on revoked_at
oauth_applications: owner_id>users name redirect_uri
oauth_grants: oauth_application_id>oauth_applications user_id>users granted_at
identities: user_id>users provider external_uid
user_preferences: user_id>users theme timezone
user_statuses: user_id>users emoji message
user_details: user_id>users job_title bio
followers: follower_id>users followee_id>users
blocks: blocker_id>users blocked_id>users reason
abuse_reports: reporter_id>users user_id>users message resolved_at
bans: user_id>users reason banned_at lifted_at
invitations: project_id>projects email inviter_id>users accepted_at
pipelines: project_id>projects ref sha status started_at finished_at duration_count trigger_user_id>users
stages: pipeline_id>pipelines name status position_count
jobs: stage_id>stages name status runner_id>runners started_at finished_at failure_reason allow_failure
job_artifacts: job_id>jobs file_type size_bytes expires_at
job_traces: job_id>jobs checksum
job_variables: job_id>jobs key
runners: description kind active_flag contacted_at
runner_projects: runner_id>runners project_id>projects
runner_minutes: namespace_id>namespaces month_on minutes_count
pipeline_schedules: project_id>projects cron owner_id>users active_flag
pipeline_triggers: project_id>projects description
test_reports: job_id>jobs total_count failed_count
test_cases: test_report_id>test_reports name status
coverage_reports: pipeline_id>pipelines covered_percent
environments: project_id>projects name external_url state
deployments: environment_id>environments job_id>jobs status deployed_at user_id>users
clusters: project_id>projects name provider
cluster_agents: cluster_id>clusters name connected_at
container_registries: project_id>projects path
container_images: container_registry_id>container_registries digest pushed_at
packages: project_id>projects name version package_type creator_id>users
package_files: package_id>packages file_name size_bytes
package_downloads: package_id>packages downloaded_at
vulnerabilities: project_id>projects title severity state detected_at dismissed_by_id>users
vulnerability_findings: vulnerability_id>vulnerabilities scanner_id>scanners location
scanners: name vendor
dependencies: project_id>projects name version licence
licence_policies: project_id>projects licence verdict
security_scans: pipeline_id>pipelines kind status
webhooks: project_id>projects url active_flag
webhook_logs: webhook_id>webhooks response_status delivered_at
integrations: project_id>projects kind active_flag
chat_channels: integration_id>integrations name
import_jobs: user_id>users source status failed_reason
export_jobs: user_id>users status
feature_flags: project_id>projects name active_flag
flag_strategies: feature_flag_id>feature_flags name
epics: namespace_id>namespaces title starts_on ends_on state
epic_issues: epic_id>epics issue_id>issues
iterations: namespace_id>namespaces title starts_on due_on
iteration_issues: iteration_id>iterations issue_id>issues
timelogs: issue_id>issues user_id>users spent_hours spent_at
requirements: project_id>projects title state
incidents: project_id>projects severity opened_at resolved_at
incident_timeline_entries: incident_id>incidents note occurred_at
oncall_schedules: project_id>projects name
oncall_rotations: oncall_schedule_id>oncall_schedules starts_at
oncall_participants: oncall_rotation_id>oncall_rotations user_id>users
escalation_policies: project_id>projects name
escalation_rules: escalation_policy_id>escalation_policies oncall_schedule_id>oncall_schedules wait_count
alerts: project_id>projects title fired_at ended_at
error_groups: project_id>projects title first_seen_at last_seen_at occurrences_count
service_desk_settings: project_id>projects address
service_desk_contacts: name email organization_id>organizations
organizations: name country size_class
plans: name monthly_price seats_count
subscriptions: namespace_id>namespaces plan_id>plans starts_on ends_on auto_renews seats_count
subscription_changes: subscription_id>subscriptions old_plan_id>plans new_plan_id>plans changed_at
invoices: subscription_id>subscriptions number issued_on due_on paid_at total_amount currency
invoice_items: invoice_id>invoices description quantity unit_price
payment_methods: namespace_id>namespaces kind last_digits expires_on
charges: invoice_id>invoices payment_method_id>payment_methods amount state failure_code attempted_at
refunds: charge_id>charges amount reason refunded_at
credit_notes: invoice_id>invoices amount
tax_rates: country percent
vouchers: code percent redeemed_by_id>namespaces
trials: namespace_id>namespaces starts_on ends_on converted_at
usage_records: subscription_id>subscriptions metric quantity used_on
storage_quotas: namespace_id>namespaces limit_bytes used_bytes
sales_leads: organization_id>organizations source stage owner_id>users
support_tickets: namespace_id>namespaces requester_id>users subject priority status opened_at solved_at assignee_id>users
support_replies: support_ticket_id>support_tickets author_id>users body replied_at
satisfaction_ratings: support_ticket_id>support_tickets score remark
kb_articles: title body author_id>users published_at
kb_feedbacks: kb_article_id>kb_articles helpful_flag
announcements: title body starts_at
banners: message active_flag
newsletters: subject sent_at
newsletter_deliveries: newsletter_id>newsletters user_id>users opened_at clicked_at bounced_at
surveys: title
survey_responses: survey_id>surveys user_id>users score
shops: namespace_id>namespaces name currency opened_at
shop_products: shop_id>shops name sku price stock_quantity
shop_product_variants: shop_product_id>shop_products size color
shop_categories: shop_id>shops name
shop_product_categories: shop_product_id>shop_products shop_category_id>shop_categories
shop_customers: shop_id>shops name email country
shop_orders: shop_customer_id>shop_customers placed_at status total_amount
shop_order_lines: shop_order_id>shop_orders shop_product_variant_id>shop_product_variants quantity unit_price
shop_shipments: shop_order_id>shop_orders shop_carrier_id>shop_carriers shipped_at delivered_at
shop_carriers: name
shop_returns: shop_order_line_id>shop_order_lines reason returned_at
shop_reviews: shop_product_id>shop_products shop_customer_id>shop_customers rating body
shop_coupons: shop_id>shops code percent
shop_coupon_uses: shop_coupon_id>shop_coupons shop_order_id>shop_orders
shop_payouts: shop_id>shops amount paid_at
courses: title author_id>users price published_at
lessons: course_id>courses title minutes_count
course_enrollments: course_id>courses user_id>users enrolled_at completed_at
lesson_views: lesson_id>lessons user_id>users viewed_at
quizzes: lesson_id>lessons title
quiz_attempts: quiz_id>quizzes user_id>users score
certificates: course_enrollment_id>course_enrollments issued_at
forums: title description
topics: forum_id>forums author_id>users title views_count closed_flag
posts: topic_id>topics author_id>users body posted_at
post_likes: post_id>posts user_id>users
badges: name criteria
badge_grants: badge_id>badges user_id>users granted_at
polls: topic_id>topics question
poll_options: poll_id>polls label
poll_votes: poll_option_id>poll_options user_id>users
conversations: subject started_at
conversation_members: conversation_id>conversations user_id>users
direct_messages: conversation_id>conversations sender_id>users body sent_at read_at
notifications: user_id>users kind read_at
push_devices: user_id>users platform token_digest
sessions: user_id>users ip_address started_at ended_at
login_attempts: user_id>users succeeded_flag attempted_at ip_address
audit_events: author_id>users action target happened_at
ip_restrictions: namespace_id>namespaces range
two_factor_devices: user_id>users kind added_at
password_resets: user_id>users requested_at used_at
emails: user_id>users address confirmed_at
meetups: title city held_on organizer_id>users
meetup_attendees: meetup_id>meetups user_id>users
sponsorships: sponsor_id>users maintainer_id>users monthly_amount starts_on ends_on
bounties: issue_id>issues amount funded_by_id>users paid_at
hackathons: title starts_on
hackathon_teams: hackathon_id>hackathons name score
hackathon_members: hackathon_team_id>hackathon_teams user_id>users
job_offers: organization_id>organizations title salary city
job_applications: job_offer_id>job_offers user_id>users stage
translations: locale key content
geo_nodes: name url is_primary
geo_replications: geo_node_id>geo_nodes repository_id>repositories synced_at failed_flag
background_workers: queue status enqueued_at
database_migrations: version applied_at
lfs_objects: oid size_bytes
lfs_links: lfs_object_id>lfs_objects project_id>projects
uploads: project_id>projects path size_bytes uploader_id>users
pages_domains: project_id>projects domain verified_at
pages_deployments: project_id>projects size_bytes
search_queries: user_id>users phrase searched_at results_count
ai_completions: user_id>users model prompt_count accepted_flag suggested_at
code_owners: project_id>projects pattern user_id>users
spam_logs: user_id>users source text
system_settings: name content
""".strip()

FORGE = tables_ddl(_TABLES)
TABLES = len(_TABLES.splitlines())

QUESTIONS = """
Which projects have the most open issues? | projects.name issues.project_id issues.state
How long does a merge request wait for its first review? | merge_requests.author_id merge_request_reviewers.reviewed_at
Flaky builds: how often do pipelines fail per project? | pipelines.status pipelines.project_id projects.name
Which jobs take longest on which runner? | jobs.started_at jobs.finished_at jobs.runner_id runners.description
Who wrote the most code last quarter? | commits.author_id commits.additions_count users.username
Critical vulnerabilities that nobody has fixed | vulnerabilities.severity vulnerabilities.state vulnerabilities.title
Monthly recurring revenue by plan | subscriptions.plan_id plans.name plans.monthly_price
Failed card payments this week | charges.state charges.failure_code charges.attempted_at
Which customers downgraded? | subscription_changes.old_plan_id subscription_changes.new_plan_id subscriptions.namespace_id namespaces.name
How many trials turn into paying customers? | trials.converted_at trials.starts_on
Unpaid bills older than 30 days | invoices.paid_at invoices.due_on invoices.total_amount
Average support rating per agent | satisfaction_ratings.score support_tickets.assignee_id users.name
Time spent per issue label | timelogs.spent_hours timelogs.issue_id label_links.issue_id labels.title
Deployments to production in the last week | deployments.deployed_at deployments.environment_id environments.name
Best-selling products of each shop | shop_products.name shop_order_lines.quantity shops.name
Which carrier delivers slowest? | shop_carriers.name shop_shipments.shipped_at shop_shipments.delivered_at
Who is on call for the payment project? | oncall_participants.user_id oncall_schedules.project_id projects.name users.name
Members whose access ends next month | members.expires_on members.user_id users.username
Users without two-factor authentication | two_factor_devices.user_id users.username
Most downloaded packages | packages.name package_downloads.package_id
Which repositories are biggest? | repositories.size_bytes projects.name
Who completed the security course? | course_enrollments.completed_at courses.title users.name
How many people opened the last newsletter? | newsletter_deliveries.opened_at newsletters.subject
Expired tokens that were never revoked | access_tokens.expires_on access_tokens.revoked_at
Which reviewers approve without comments? | approvals.user_id notes.merge_request_id notes.author_id
Wer hat die meisten Beiträge im Forum geschrieben? | posts.author_id users.username
Test coverage per project | coverage_reports.covered_percent pipelines.project_id projects.name
Sum of bounties paid for each maintainer's issues | bounties.amount bounties.issue_id bounties.paid_at issues.author_id
"""
