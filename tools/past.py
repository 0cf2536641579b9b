"""How a run forgets the month that the demo data tells of, so that all messages are its own."""

#: Statements for a database with demo data; log rows first, they refer to messages.
FORGET = """
DELETE FROM sicantik_notification_log;
DELETE FROM sicantik_notification_queue;
DELETE FROM sicantik_notification_campaign_target;
DELETE FROM sicantik_whatsapp_event;
UPDATE sicantik_notification_campaign SET state = 'draft';
UPDATE sicantik_auto_message SET state = 'draft';
"""
