-- A copied database must not be able to send, nor to receive what is meant for the original.
UPDATE sicantik_whatsapp_provider
   SET active = false,
       credential_state = 'draft',
       api_token = NULL,
       sender_id = NULL,
       app_secret = NULL,
       verify_token = NULL,
       webhook_token = NULL;

UPDATE sicantik_notification_queue
   SET state = 'cancelled',
       error_class = 'cancelled',
       error_message = 'Cancelled: this is a copy of the database.'
 WHERE state IN ('pending', 'processing');

UPDATE sicantik_notification_campaign
   SET state = 'paused',
       rows_todo = NULL
 WHERE state IN ('running', 'scheduled');

UPDATE sicantik_auto_message
   SET state = 'cancelled'
 WHERE state IN ('scheduled', 'sending');
