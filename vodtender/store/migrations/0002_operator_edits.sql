-- oldest program: 1
-- Two triggers on disjoint columns of `vods`. The pipeline sets stage, problem and video_id,
-- and the visible columns follow. An operator sets visible columns, and the pipeline's own
-- follow: whoever works on the VOD loses the lease, and the workers are woken.

CREATE FUNCTION show_vod(v vods) RETURNS vods LANGUAGE plpgsql STABLE AS $$
BEGIN
    v.processed := v.stage NOT IN ('live', 'queued', 'downloading');
    v.download_state := CASE v.stage
        WHEN 'live' THEN 'pending'
        WHEN 'queued' THEN CASE WHEN v.problem IS NULL THEN 'pending' ELSE 'failed' END
        WHEN 'downloading' THEN 'downloading'
        WHEN 'failed' THEN 'failed'
        WHEN 'skipped' THEN 'skipped'
        ELSE 'complete' END;
    v.youtube_url := 'https://www.youtube.com/watch?v=' || v.video_id;
    v.processing_error := v.problem;
    v.updated_at := clock_timestamp();
    RETURN v;
END $$;

CREATE FUNCTION youtube_id(url text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    found text := substring(
        url from '^(?:https?://(?:www\.|m\.|music\.)?(?:youtube\.com/(?:watch\?(?:[^#]*&)?v=|live/|shorts/|embed/)|youtu\.be/))?([A-Za-z0-9_-]{1,64})(?:[?&#/].*)?$');
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'youtube_url % names no video', quote_literal(left(url, 100))
            USING HINT = 'It should look like https://www.youtube.com/watch?v=ID', ERRCODE = '22023';
    END IF;
    RETURN found;
END $$;

-- Back to the start of what is left to do. With a file the upload is next; without one the
-- download, before which YouTube is asked when there may be a video already.
CREATE FUNCTION try_vod_again(v vods) RETURNS vods LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    v.problem := NULL;
    v.problem_code := NULL;
    v.next_try_at := NULL;
    v.waiting_for := NULL;
    v.missing_since := NULL;
    v.cancel_reason := NULL;
    v.download_attempts := 0;
    v.upload_attempts := 0;
    RETURN v;
END $$;

CREATE FUNCTION apply_edited_state(v vods) RETURNS vods LANGUAGE plpgsql AS $$
BEGIN
    CASE v.download_state
    WHEN 'pending' THEN
        v := try_vod_again(v);
        v.recheck := true;
        v.stage := 'queued';
    WHEN 'skipped' THEN
        v := try_vod_again(v);
        v.stage := 'skipped';
        v.problem := coalesce(v.processing_error, 'skipped by an operator');
        v.problem_code := 'operator';
    WHEN 'failed' THEN
        v.stage := CASE WHEN v.processed THEN 'failed' ELSE 'queued' END;
        v.problem := coalesce(v.processing_error, 'marked as failed by an operator');
        v.next_try_at := CASE WHEN v.processed THEN NULL ELSE now() + interval '10 minutes' END;
    WHEN 'complete' THEN
        IF v.video_id IS NULL AND v.downloaded_path IS NULL THEN
            RAISE EXCEPTION 'VOD % has neither a file nor a video, so it is not complete', v.twitch_vod_id
                USING HINT = 'To be done with it: UPDATE vods SET processed=true, processing_error=''reason''',
                      ERRCODE = '22023';
        END IF;
        v := try_vod_again(v);
        v.stage := CASE WHEN v.video_id IS NOT NULL THEN 'verifying' ELSE 'downloaded' END;
    ELSE
        RAISE EXCEPTION 'download_state cannot be set to %', quote_literal(left(v.download_state, 50))
            USING HINT = 'Set it to pending (try again), skipped, failed or complete', ERRCODE = '22023';
    END CASE;
    RETURN v;
END $$;

CREATE FUNCTION apply_edited_error(v vods) RETURNS vods LANGUAGE plpgsql AS $$
BEGIN
    IF v.processing_error IS NOT NULL THEN
        v.problem := v.processing_error;
        v.problem_code := 'operator';
        IF v.processed THEN
            v.stage := 'failed';
            v.next_try_at := NULL;
        END IF;
    ELSIF v.stage = 'skipped' THEN
        v.problem := NULL;
        v.problem_code := NULL;
    ELSE
        v := try_vod_again(v);
        IF v.stage = 'failed' THEN
            v.recheck := true;
            v.stage := CASE
                WHEN v.video_id IS NOT NULL THEN 'verifying'
                WHEN v.downloaded_path IS NOT NULL THEN 'downloaded'
                ELSE 'queued' END;
        END IF;
    END IF;
    RETURN v;
END $$;

CREATE FUNCTION apply_operators_edit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    error_edited boolean := NEW.processing_error IS DISTINCT FROM OLD.processing_error;
    url_edited boolean := NEW.youtube_url IS DISTINCT FROM OLD.youtube_url;
    -- Set by commands; who types into psql is not known.
    actor text := nullif(current_setting('vodtender.actor', true), '');
BEGIN
    IF NOT (error_edited OR url_edited OR NEW.processed IS DISTINCT FROM OLD.processed
            OR NEW.download_state IS DISTINCT FROM OLD.download_state) THEN
        RETURN NEW;
    END IF;
    IF url_edited THEN
        NEW.video_id := CASE WHEN NEW.youtube_url IS NULL THEN NULL ELSE youtube_id(NEW.youtube_url) END;
        NEW.published_at := NULL;
    END IF;
    IF NEW.download_state IS DISTINCT FROM OLD.download_state THEN
        NEW := apply_edited_state(NEW);
    ELSIF OLD.processed AND NOT NEW.processed THEN
        NEW := try_vod_again(NEW);
        NEW.recheck := true;
        NEW.stage := 'queued';
    ELSIF NEW.processed AND NOT OLD.processed AND NOT url_edited AND NEW.processing_error IS NULL THEN
        NEW.stage := CASE
            WHEN NEW.video_id IS NOT NULL THEN 'verifying'
            WHEN NEW.downloaded_path IS NOT NULL THEN 'downloaded'
            ELSE 'skipped' END;
        NEW.problem := CASE WHEN NEW.stage = 'skipped' THEN 'marked as processed by an operator' END;
        NEW.next_try_at := NULL;
    ELSIF error_edited OR (NEW.processed AND NEW.processing_error IS NOT NULL AND NOT OLD.processed) THEN
        NEW := apply_edited_error(NEW);
    END IF;
    IF url_edited AND NEW.stage NOT IN ('failed', 'skipped') THEN
        NEW := try_vod_again(NEW);
        NEW.recheck := true;
        NEW.stage := CASE
            WHEN NEW.video_id IS NOT NULL THEN 'verifying'
            WHEN NEW.downloaded_path IS NOT NULL THEN 'downloaded'
            ELSE 'queued' END;
    END IF;
    IF OLD.problem_code = 'quota' AND NEW.problem IS NULL AND NEW.stage <> 'verifying' THEN
        UPDATE upload_holds SET held_until = now() WHERE held_until > now();
    END IF;
    NEW.uncertain_since := CASE WHEN NEW.stage = 'finalizing' THEN NEW.uncertain_since END;
    NEW.worker_id := NULL;
    NEW.lease_expires_at := NULL;
    NEW.claim := NEW.claim + 1;
    NEW := show_vod(NEW);
    INSERT INTO vod_history (vod_id, actor, from_stage, to_stage, detail)
        VALUES (NEW.id, coalesce(actor, 'operator'), OLD.stage, NEW.stage,
            coalesce(NEW.problem, CASE WHEN actor IS NULL THEN 'edited by hand' END));
    NOTIFY vodtender;
    RETURN NEW;
END $$;

CREATE TRIGGER operators_edit
    BEFORE UPDATE OF processed, download_state, youtube_url, processing_error ON vods
    FOR EACH ROW EXECUTE FUNCTION apply_operators_edit();

CREATE FUNCTION show_pipelines_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor text := coalesce(nullif(current_setting('vodtender.actor', true), ''), OLD.worker_id,
        NEW.worker_id, 'vodtender');
BEGIN
    IF NEW.stage = OLD.stage AND NEW.problem IS NOT DISTINCT FROM OLD.problem
            AND NEW.video_id IS NOT DISTINCT FROM OLD.video_id THEN
        RETURN NEW;
    END IF;
    NEW := show_vod(NEW);
    INSERT INTO vod_history (vod_id, actor, from_stage, to_stage, detail)
        VALUES (NEW.id, actor, OLD.stage, NEW.stage, NEW.problem);
    RETURN NEW;
END $$;

CREATE TRIGGER pipelines_step BEFORE UPDATE OF stage, problem, video_id ON vods
    FOR EACH ROW EXECUTE FUNCTION show_pipelines_step();

-- A row typed in by hand is understood by its visible columns, too.
CREATE FUNCTION enter_vod() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stage = 'queued' AND NEW.problem IS NULL AND NEW.video_id IS NULL THEN
        NEW.problem := NEW.processing_error;
        IF NEW.youtube_url IS NOT NULL THEN
            NEW.video_id := youtube_id(NEW.youtube_url);
        END IF;
        IF NEW.download_state = 'skipped' THEN
            NEW.stage := 'skipped';
        ELSIF NEW.video_id IS NOT NULL THEN
            NEW.stage := CASE WHEN NEW.processed THEN 'published' ELSE 'queued' END;
            NEW.recheck := true;
        ELSIF NEW.downloaded_path IS NOT NULL AND (NEW.processed OR NEW.download_state = 'complete') THEN
            NEW.stage := 'downloaded';
        ELSIF NEW.processed THEN
            NEW.stage := CASE WHEN NEW.problem IS NULL THEN 'skipped' ELSE 'failed' END;
        END IF;
    END IF;
    NEW := show_vod(NEW);
    NOTIFY vodtender;
    RETURN NEW;
END $$;

CREATE TRIGGER entered BEFORE INSERT ON vods FOR EACH ROW EXECUTE FUNCTION enter_vod();
